"""Visitors whose flags are evaluated by the real Python server SDK: the second service of a healthy shop."""
import os
import time

from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.integrations import Files

client = LDClient(
    Config(
        "sdk-00000000-1111-2222-3333-4444444shop2",
        events_uri=os.environ["EVENTS_URI"],
        update_processor_class=Files.new_data_source(paths=[os.environ["FLAGS"]]),
        enable_event_compression=True,
    )
)
visitors = [Context.builder(f"user-{n:03}").set("plan", "free" if n % 2 else "pro").build() for n in range(101, 141)]
for visitor in visitors:
    client.variation("checkout-cta", visitor, "none")
time.sleep(0.02)  # so that the conversions are later by the SDK's own millisecond clock
for visitor in visitors[::4]:
    client.track("checkout", visitor, {"service": "orders"})
client.close()
