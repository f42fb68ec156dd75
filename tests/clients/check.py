#!/usr/bin/env python3
"""Compares the verdicts exptap gave on one real client's traffic with what that client was made to do.

The drivers of a kind of client do the same things with the same contexts, so there is one table for each kind, and for
Segment's one for each mapping they are judged by. Rows of events no experiment is about (identify, index, summary,
diagnostics) differ from SDK to SDK and only have to say so.

    check.py TABLE FILE   compares FILE, as `exptap verdicts` writes it
    check.py --prove      shows that the comparison can fail
"""
import json
import sys

EXPERIMENT = "checkout-cta-test"
METRIC = "checkout-conversion"
# kind, key, verdict, experiment, metric, unit, variation (None where there is none that counts)
# The same with every client of Segment's, whatever the mapping: what the flag came to; a wrongly spelt event; a page, for
# which there is no mapping; a revenue that is no number, which the destination refuses; and an event sent twice.
ALWAYS = [
    ("feature", "checkout-cta", "exposure", EXPERIMENT, None, "device/d-1", 1),
    ("feature", "checkout-cta", "exposure", EXPERIMENT, None, "device/d-3", 0),
    ("custom", "Checkout", "no-metric-for-key", None, None, None, None),
    ("page", "Basket", "segment-not-subscribed", None, None, None, None),
    ("track", "checkout", "segment-rejected", None, None, None, None),
    ("custom", "checkout", "duplicate-payload", None, None, None, None),
]
TABLES = {
    "launchdarkly": [
        ("custom", "Checkout", "no-metric-for-key", None, None, None, None),
        ("custom", "checkout", "conversion-before-exposure", EXPERIMENT, METRIC, "device/d-early", None),
        ("custom", "checkout", "counted", EXPERIMENT, METRIC, "device/d-1", 1),
        ("custom", "checkout", "event-lacks-unit", EXPERIMENT, METRIC, None, None),
        ("feature", "checkout-cta", "exposure", EXPERIMENT, None, "device/d-1", 1),
        ("feature", "checkout-cta", "exposure", EXPERIMENT, None, "device/d-early", 0),
    ],
    # The presets send the user and the anonymous id, and no device.
    "segment-presets": [
        *ALWAYS,
        ("custom", "checkout", "event-lacks-unit", EXPERIMENT, METRIC, None, None),
        ("custom", "checkout", "event-lacks-unit", EXPERIMENT, METRIC, None, None),
    ],
    # segment.json is the presets with the device among the Additional Context Keys.
    "segment-mapping": [
        *ALWAYS,
        ("custom", "checkout", "counted", EXPERIMENT, METRIC, "device/d-1", 1),
        ("custom", "checkout", "counted", EXPERIMENT, METRIC, "device/d-3", 0),
    ],
}
ABOUT_NO_EXPERIMENT = "not-an-experiment-event"
FIELDS = ("kind", "key", "verdict", "experiment", "metric", "unit", "variation")


def judged(row):
    """What of a row is compared: the unit and the arm only where the verdict rests on them."""
    row = dict(row)
    if row.get("verdict") not in ("exposure", "counted"):
        row["variation"] = None
        if row.get("verdict") != "conversion-before-exposure":
            row["unit"] = None
    return tuple(row.get(field) for field in FIELDS)


def differences(expected, rows):
    got = [judged(row) for row in rows if row.get("verdict") != ABOUT_NO_EXPERIMENT]
    wrong = [f"unexpected: {row}" for row in got if got.count(row) > expected.count(row)]
    return wrong + [f"missing:    {row}" for row in expected if expected.count(row) > got.count(row)]


def prove(expected):
    """A check that cannot fail checks nothing: the table passes, and no longer does with any row changed or gone."""
    rows = [dict(zip(FIELDS, row)) for row in expected] + [{"kind": "summary", "verdict": ABOUT_NO_EXPERIMENT}]
    assert not differences(expected, rows)
    for number, row in enumerate(expected):
        others = rows[:number] + rows[number + 1 :]
        assert differences(expected, others), row
        assert differences(expected, rows + [rows[number]]), row
        for field in ("kind", "key", "verdict", "experiment", "metric"):
            assert differences(expected, [*others, {**rows[number], field: "other"}]), (row, field)
        if row[2] in ("exposure", "counted"):
            assert differences(expected, [*others, {**rows[number], "variation": 7}]), row
            assert differences(expected, [*others, {**rows[number], "unit": "user/u-1"}]), row


def main():
    if sys.argv[1:] == ["--prove"]:
        for expected in TABLES.values():
            prove(expected)
        print("the check itself: passes what is right and refuses every change to it")
        return 0
    table, path = sys.argv[1:]
    expected = TABLES[table]
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    wrong = differences(expected, rows)
    if wrong:
        print(f"the verdicts are not those expected of {table}:", *wrong, sep="\n  ", file=sys.stderr)
        print("all rows:", *map(json.dumps, rows), sep="\n  ", file=sys.stderr)
        return 1
    print(f"{table}: {len(rows)} verdicts, {len(expected)} of them compared, all as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
