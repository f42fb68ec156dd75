// Drives the real Node server SDK. Flag data comes from FLAGS through the SDK's own file data source; events go to
// EVENTS_URI.
import { setTimeout as pause } from 'node:timers/promises';
import { init, integrations } from '@launchdarkly/node-server-sdk';

const { EVENTS_URI: eventsUri, FLAGS: flags } = process.env;
const client = init('sdk-00000000-1111-2222-3333-44444444node', {
  eventsUri,
  updateProcessor: new integrations.FileDataSourceFactory({ paths: [flags] }).getFactory(),
});
await client.waitForInitialization({ timeout: 10 });

const early = { kind: 'device', key: 'd-early' };
const both = { kind: 'multi', user: { key: 'u-1' }, device: { key: 'd-1' } };
const user = { kind: 'user', key: 'u-1' };

client.track('checkout', early);
await pause(20); // so that the exposure is later by the SDK's own millisecond clock
await client.variation('checkout-cta', early, 'none');

const value = await client.variation('checkout-cta', both, 'none');
client.track('checkout', both);
client.track('Checkout', both);
client.track('checkout', user);

await client.flush();
client.close();
if (value === 'none') throw new Error('the flag was not served');
