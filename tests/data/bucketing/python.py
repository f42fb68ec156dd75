"""Asks the real Python server SDK where it puts every key of keys.json, for every flag of flags.json, and prints it.

    pip install launchdarkly-server-sdk==9.18.2 && python python.py > python.json
"""
import json

from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.integrations import Files

keys = json.load(open("keys.json", encoding="utf-8"))
flags = json.load(open("flags.json", encoding="utf-8"))["flags"]
client = LDClient(
    Config(
        "sdk-00000000-0000-0000-0000-000000000000",
        send_events=False,
        update_processor_class=Files.new_data_source(paths=["flags.json"]),
    )
)
assigned, without_unit = {}, {}
for flag in flags:
    details = [client.variation_detail(flag, Context.create(key), "none") for key in keys]
    assigned[flag] = {
        "variations": "".join(str(detail.variation_index) for detail in details),
        "in_experiment": "".join("1" if detail.reason.get("inExperiment") else "0" for detail in details),
    }
    detail = client.variation_detail(flag, Context.create("o-1", "organization"), "none")
    without_unit[flag] = [detail.variation_index, detail.reason.get("inExperiment") is True]
client.close()
print(json.dumps({"sdk": "launchdarkly-server-sdk 9.18.2", "assigned": assigned, "without_unit": without_unit}))
