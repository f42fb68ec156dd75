"""The shop's orders service: it knows accounts and devices, evaluates no flag, and tracks with the real Segment library
for Python."""
import os

from segment.analytics.client import Client

failures = []
analytics = Client(
    "segment-write-key-000000000000orders",
    host=os.environ["EVENTS_URI"],
    gzip=True,
    on_error=lambda error, batch: failures.append(error),
)
# Four checkouts by phone, by visitors the web shop saw leave with a full basket.
for n in range(2, 40, 12):
    analytics.track(
        f"user-{n:03}",
        "checkout",
        {"revenue": 10 + n, "currency": "EUR", "order": n},
        {"device": {"id": f"device-{n:03}"}},
    )
analytics.shutdown()
if failures:
    raise SystemExit(f"Segment's library gave up: {failures}")
