// Drives the real Segment library for Node beside the real LaunchDarkly SDK: one evaluates the flag, the other tracks
// what comes of it. Both send to EVENTS_URI.
import { setTimeout as pause } from 'node:timers/promises';
import { init, integrations } from '@launchdarkly/node-server-sdk';
import { Analytics } from '@segment/analytics-node';

const { EVENTS_URI: eventsUri, FLAGS: flags } = process.env;
const client = init('sdk-00000000-1111-2222-3333-44444444node', {
  eventsUri,
  updateProcessor: new integrations.FileDataSourceFactory({ paths: [flags] }).getFactory(),
});
await client.waitForInitialization({ timeout: 10 });

// Once, the answer to a request gets lost on its way, so that the library sends the same events again.
let losesAnswer = false;
const httpClient = async (url, request) => {
  const answer = await fetch(url, request);
  if (losesAnswer) {
    losesAnswer = false;
    throw new Error('the answer is lost');
  }
  return answer;
};
const analytics = new Analytics({ writeKey: 'segment-write-key-00000000000node', host: eventsUri, httpClient });
const failures = [];
analytics.on('error', ({ code, reason }) => failures.push(`${code}: ${reason}`));

const visitor = (n) => ({ kind: 'multi', user: { key: `u-${n}` }, device: { key: `d-${n}` } });
const who = (n) => ({ userId: `u-${n}`, anonymousId: `a-${n}`, context: { device: { id: `d-${n}` } } });

const values = [];
for (const n of [1, 3]) values.push(await client.variation('checkout-cta', visitor(n), 'none'));
await pause(20); // so that the conversions are later by the clocks of both

analytics.identify({ ...who(1), traits: { plan: 'pro' } });
analytics.page({ ...who(1), name: 'Basket', properties: { url: 'https://shop.example/basket' } });
analytics.track({ ...who(1), event: 'checkout', properties: { revenue: '12.50' } });
analytics.track({ ...who(1), event: 'Checkout', properties: { revenue: 12.5 } });
analytics.track({ ...who(1), event: 'checkout', properties: { revenue: 'twelve' } });
await analytics.flush({ timeout: 10_000 });

losesAnswer = true;
analytics.track({ ...who(3), event: 'checkout', properties: { revenue: 20 } });
await analytics.closeAndFlush({ timeout: 10_000 });

await client.flush();
client.close();
if (values.includes('none')) throw new Error('the flag was not served');
if (failures.length > 0) throw new Error(`Segment's library gave up: ${failures.join(', ')}`);
if (losesAnswer) throw new Error('no answer was lost');
