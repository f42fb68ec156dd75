// What happens in each recording, told with the real Node server SDK and, where Segment is in it, with its own library or
// with the code of its published LaunchDarkly destination. `make` starts exptap around it.
//
//   EVENTS_URI=http://127.0.0.1:8033 node stories.js NAME
import { setTimeout as pause } from 'node:timers/promises';
import { createRequire } from 'node:module';
import net from 'node:net';
import tls from 'node:tls';
import { readFileSync } from 'node:fs';
import { init, integrations } from '@launchdarkly/node-server-sdk';
import { Analytics } from '@segment/analytics-node';

const { EVENTS_URI: eventsUri } = process.env;
const [story] = process.argv.slice(2);

// An experiment's flag as LaunchDarkly serves it: `unit` is the context kind it randomizes by.
function experimentFlag(key, unit, { seed = 61, version = 7, variations = ['control', 'treatment'] } = {}) {
  const weight = 100_000 / variations.length;
  return {
    key, version, on: true, salt: 'c0ffee', targets: [], contextTargets: [], rules: [], prerequisites: [],
    offVariation: 0, variations, trackEvents: false,
    fallthrough: {
      rollout: { kind: 'experiment', contextKind: unit, seed, variations: variations.map((_, variation) => ({ variation, weight })) },
    },
    clientSideAvailability: { usingMobileKey: true, usingEnvironmentId: true },
  };
}

async function shop(unit, act, sdkKey = 'sdk-00000000-1111-2222-3333-44444444shop') {
  const flags = new integrations.TestData();
  await flags.usePreconfiguredFlag(experimentFlag('checkout-cta', unit));
  const client = init(sdkKey, { eventsUri, updateProcessor: flags.getFactory(), flushInterval: 1 });
  await client.waitForInitialization({ timeout: 10 });
  await act(client, flags);
  await client.flush();
  client.close();
}

const number = (n) => String(n).padStart(3, '0');
const user = (n) => ({ kind: 'user', key: `user-${number(n)}`, name: `Visitor ${n}`, email: `visitor-${n}@shop.example` });
const device = (n) => ({ kind: 'device', key: `device-${number(n)}`, os: n % 2 ? 'ios' : 'android' });
const both = (n) => {
  const { kind: _user, ...ofUser } = user(n);
  const { kind: _device, ...ofDevice } = device(n);
  return { kind: 'multi', user: ofUser, device: ofDevice };
};
const every = function* (count, step = 1) { for (let n = 1; n <= count; n += step) yield n; };
// The SDK's clock counts milliseconds; what comes after must be later by it.
const aMomentLater = () => pause(15);

// Segment's destination posts to https without a port, so this takes the TLS off on port 443 and hands the bytes on.
async function throughSegment(events, { mapping } = {}) {
  const require = createRequire(import.meta.url);
  const { Destination } = require('@segment/actions-core');
  const definition = require('@segment/action-destinations/dist/destinations/launchdarkly').default;
  const { hostname, port } = new URL(eventsUri);
  const server = tls.createServer(
    { key: readFileSync(process.env.TLS_KEY), cert: readFileSync(process.env.TLS_CERT) },
    (socket) => { const upstream = net.connect(Number(port), hostname); socket.pipe(upstream).pipe(socket); socket.on('error', () => upstream.destroy()); upstream.on('error', () => socket.destroy()); },
  );
  await new Promise((resolve) => server.listen(443, '127.0.0.1', resolve));
  const destination = new Destination(definition);
  const fields = definition.actions.trackEvent.fields;
  const defaults = Object.fromEntries(Object.entries(fields).filter(([, field]) => field.default !== undefined).map(([name, field]) => [name, field.default]));
  const subscription = { subscribe: 'type = "track"', partnerAction: 'trackEvent', enabled: true, mapping: { ...defaults, ...mapping } };
  for (const event of events) {
    const results = await destination.onEvent(event, { client_id: '64b0c0ffee64b0c0ffee6400', events_host_name: '127.0.0.1', subscription });
    if (results.some(({ error }) => error)) throw new Error(JSON.stringify(results));
  }
  server.close();
}

const segmentTrack = (n, event, properties = {}) => ({
  type: 'track', messageId: `message-${n}-${event}`, userId: `account-${number(n)}`, anonymousId: `user-${number(n)}`,
  event, properties, timestamp: new Date().toISOString(), context: { library: { name: 'analytics.js', version: '2.11.1' } },
});

// Who somebody is to Segment: every fourth visitor is not logged in, and known by the cookie alone.
const who = (n) => ({
  ...(n % 4 ? { userId: `user-${number(n)}` } : {}),
  anonymousId: `cookie-${number(n)}`,
  context: { device: { id: `device-${number(n)}`, type: n % 2 ? 'ios' : 'android' }, locale: 'en-GB' },
});

const stories = {
  // Randomized by device, measured by user: not one event can count.
  'metric-unit-mismatch': () => shop('device', async (client) => {
    for (const n of every(40)) await client.variation('checkout-cta', both(n), 'none');
    await aMomentLater();
    for (const n of every(40, 3)) client.track('checkout', both(n), { basket: n });
  }),
  // The web shop tracks with the user alone; the device, by which it is randomized, is not in the event.
  'event-lacks-unit': () => shop('device', async (client) => {
    for (const n of every(40)) await client.variation('checkout-cta', both(n), 'none');
    await aMomentLater();
    for (const n of every(40, 2)) client.track('checkout', user(n));
    for (const n of every(40, 10)) client.track('checkout', both(n));
  }),
  // The SDK knows visitors by their anonymous id, Segment sends the account id.
  'segment-id-mismatch': async () => {
    await shop('user', async (client) => {
      for (const n of every(30)) await client.variation('checkout-cta', { kind: 'user', key: `user-${number(n)}`, anonymous: true }, 'none');
    });
    await aMomentLater();
    await throughSegment([...every(30, 2)].map((n) => segmentTrack(n, 'checkout', { value: 10 + n })));
  },
  // One letter is missing.
  'event-key-typo': () => shop('user', async (client) => {
    for (const n of every(30)) await client.variation('checkout-cta', user(n), 'none');
    await aMomentLater();
    for (const n of every(30, 2)) client.track('chekout', user(n));
  }),
  // The page was changed: it no longer asks for the flag before it tracks. The old page still runs here and there.
  'no-exposure': () => shop('user', async (client) => {
    for (const n of every(10)) await client.variation('checkout-cta', user(n), 'none');
    await aMomentLater();
    for (const n of every(10, 3)) client.track('checkout', user(n));
    for (const n of every(40)) if (n > 10) client.track('checkout', user(n));
  }),
  // First part, ninety-one days before the second: everybody is exposed once.
  'exposure-too-old.first': () => shop('user', async (client) => {
    for (const n of every(24)) await client.variation('checkout-cta', user(n), 'none');
  }),
  'exposure-too-old': () => shop('user', async (client) => {
    // Some have been back since.
    for (const n of every(6)) await client.variation('checkout-cta', user(n), 'none');
    await aMomentLater();
    for (const n of every(24, 2)) client.track('checkout', user(n));
  }),
  // Traffic was reshuffled while the iteration ran, so half of the users saw both.
  'two-variations': () => shop('user', async (client, flags) => {
    for (const n of every(40)) await client.variation('checkout-cta', user(n), 'none');
    await aMomentLater();
    for (const n of every(40, 4)) client.track('checkout', user(n));
    await client.flush();
    await flags.usePreconfiguredFlag(experimentFlag('checkout-cta', 'user', { seed: 62, version: 8 }));
    await aMomentLater();
    for (const n of every(40)) await client.variation('checkout-cta', user(n), 'none');
    await aMomentLater();
    for (const n of every(40, 5)) client.track('checkout', user(n));
  }),
  // Everything is sent as it should be, but the metric is on no experiment.
  'metric-not-attached': () => stories.healthy(),
  // ... or the experiment was stopped before.
  'experiment-not-running': () => stories.healthy(),
  // The shop tracks by the SDK, and Segment forwards the same action.
  'duplicate-source': async () => {
    await shop('user', async (client) => {
      for (const n of every(30)) await client.variation('checkout-cta', user(n), 'none');
      await aMomentLater();
      for (const n of every(30, 2)) client.track('checkout', user(n), { order: n }, 10 + n);
    });
    await throughSegment([...every(30, 2)].map((n) => ({ ...segmentTrack(n, 'checkout', { order: n, value: 10 + n }), userId: `user-${number(n)}`, anonymousId: `cookie-${number(n)}` })));
  },
  // Segment's own library tracks what people do; LaunchDarkly's SDK evaluates. What the destination makes of it is up to
  // its mapping. Afterwards the orders service (orders.py) tracks what was paid.
  'segment-libraries': async () => {
    await shop('device', async (client) => {
      for (const n of every(40)) await client.variation('checkout-cta', both(n), 'none');
    });
    await aMomentLater();
    const analytics = new Analytics({ writeKey: 'segment-write-key-0000000000000web', host: eventsUri });
    for (const n of every(40)) {
      if (n % 4) analytics.identify({ ...who(n), traits: { plan: n % 3 ? 'free' : 'pro' } });
      analytics.page({ ...who(n), name: 'Basket', properties: { url: `https://shop.example/basket/${n}` } });
      for (const sku of every([1, 2, 1, 3][n % 4])) {
        analytics.track({ ...who(n), event: 'Product Added', properties: { sku: `sku-${sku}`, price: 4 + sku } });
      }
      if (n % 3 === 1) analytics.track({ ...who(n), event: 'checkout', properties: { revenue: 10 + n, currency: 'EUR' } });
    }
    await analytics.closeAndFlush({ timeout: 20_000 });
  },
  healthy: () => shop('user', async (client) => {
    for (const n of every(60)) await client.variation('checkout-cta', user(n), 'none');
    await aMomentLater();
    for (const n of every(60, 3)) client.track('checkout', user(n), { basket: n });
  }),
  // A long afternoon: thousands of visitors, and a bit of everything that goes wrong.
  'shop-afternoon': async () => {
    await shop('user', async (client, flags) => {
      await flags.usePreconfiguredFlag(experimentFlag('search-ranker', 'device', { seed: 17, variations: ['old', 'new', 'bold'] }));
      for (const n of every(3000)) {
        await client.variation('checkout-cta', n % 9 ? both(n) : user(n), 'none');
        if (n % 4) await client.variation('search-ranker', n % 9 ? both(n) : user(n), 'none');
        if (n % 5 === 0) { await client.flush(); await pause(3); }
        if (n % 3 === 0) client.track('search', both(n), { results: n % 40 });
        if (n % 7 === 0) client.track('search', user(n), { results: n % 40 });
        if (n % 4 === 0) client.track('checkout', both(n), { basket: n }, (n % 90) + 0.5);
        if (n % 31 === 0) client.track('Checkout', both(n), null, 12);
        if (n % 37 === 0) client.track('checkout', both(n + 5000), null, 12);
        if (n % 41 === 0) client.track('checkout', both(n), { basket: n });
        if (n % 53 === 0) client.track('newsletter', user(n));
      }
      await flags.usePreconfiguredFlag(experimentFlag('checkout-cta', 'user', { seed: 61, version: 9 }));
      for (const n of every(3000, 11)) await client.variation('checkout-cta', both(n), 'none');
    });
    await throughSegment([...every(600, 4)].map((n) => segmentTrack(n, 'checkout', { value: n })));
  },
};

if (!stories[story]) throw new Error(`no such story: ${story}; there are ${Object.keys(stories).join(', ')}`);
await stories[story]();
