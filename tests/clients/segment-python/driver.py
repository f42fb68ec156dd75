"""Drives the real Segment library for Python beside the real LaunchDarkly SDK: one evaluates the flag, the other tracks
what comes of it. Both send to EVENTS_URI."""
import os
import sys
import time

import requests
from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.integrations import Files
from segment.analytics import request as transport
from segment.analytics.client import Client

events_uri = os.environ["EVENTS_URI"]
client = LDClient(
    Config(
        "sdk-00000000-1111-2222-3333-4444444444py",
        events_uri=events_uri,
        update_processor_class=Files.new_data_source(paths=[os.environ["FLAGS"]]),
    )
)
failures = []
analytics = Client(
    "segment-write-key-0000000000python",
    host=events_uri,
    gzip=True,
    on_error=lambda error, batch: failures.append(error),
)


class LosesAnAnswer(requests.adapters.HTTPAdapter):
    """Once, the answer to a request gets lost on its way, so that the library sends the same events again."""

    lost = False

    def send(self, *arguments, **options):
        answer = super().send(*arguments, **options)
        if not LosesAnAnswer.lost:
            LosesAnAnswer.lost = True
            raise requests.exceptions.ConnectionError("the answer is lost")
        return answer


def who(n):
    return {"user_id": f"u-{n}", "anonymous_id": f"a-{n}", "context": {"device": {"id": f"d-{n}"}}}


values = []
for n in (1, 3):
    visitor = Context.create_multi(Context.create(f"u-{n}"), Context.create(f"d-{n}", "device"))
    values.append(client.variation("checkout-cta", visitor, "none"))
time.sleep(0.02)  # so that the conversions are later by the clocks of both

analytics.identify(**who(1), traits={"plan": "pro"})
analytics.page(**who(1), name="Basket", properties={"url": "https://shop.example/basket"})
analytics.track(**who(1), event="checkout", properties={"revenue": "12.50"})
analytics.track(**who(1), event="Checkout", properties={"revenue": 12.5})
analytics.track(**who(1), event="checkout", properties={"revenue": "twelve"})
analytics.flush()

transport._session.mount("http://", LosesAnAnswer())
analytics.track(**who(3), event="checkout", properties={"revenue": 20})
analytics.shutdown()

client.close()
if "none" in values:
    sys.exit("the flag was not served")
if failures:
    sys.exit(f"Segment's library gave up: {failures}")
if not LosesAnAnswer.lost:
    sys.exit("no answer was lost")
