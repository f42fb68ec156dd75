"""Drives the real Python server SDK. Flag data comes from FLAGS through the SDK's own file data source; events go to
EVENTS_URI."""
import os
import sys
import time

from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.integrations import Files

client = LDClient(
    Config(
        "sdk-00000000-1111-2222-3333-4444444444py",
        events_uri=os.environ["EVENTS_URI"],
        update_processor_class=Files.new_data_source(paths=[os.environ["FLAGS"]]),
        enable_event_compression=True,
    )
)

early = Context.create("d-early", "device")
user = Context.create("u-1")
both = Context.create_multi(user, Context.create("d-1", "device"))

client.track("checkout", early)
time.sleep(0.02)  # so that the exposure is later by the SDK's own millisecond clock
client.variation("checkout-cta", early, "none")

value = client.variation("checkout-cta", both, "none")
client.track("checkout", both)
client.track("Checkout", both)
client.track("checkout", user)

client.close()
if value == "none":
    sys.exit("the flag was not served")
