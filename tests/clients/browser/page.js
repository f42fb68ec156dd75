// Runs in the browser: the real SDK, whose flag data comes from where the page came from, and whose events go to the
// address in the page's query, another origin.
import { createClient } from '@launchdarkly/js-client-sdk';

const eventsUri = new URLSearchParams(location.search).get('events');
const early = { kind: 'device', key: 'd-early' };
const both = { kind: 'multi', user: { key: 'u-1' }, device: { key: 'd-1' } };
const user = { kind: 'user', key: 'u-1' };

async function drive() {
  const origin = location.origin;
  const client = createClient('64b0c0ffee64b0c0ffee6400', early, {
    baseUri: origin,
    streamUri: origin,
    eventsUri,
    streaming: false,
  });
  const started = await client.start({ timeout: 10 });
  if (started.status !== 'complete') throw new Error(`start: ${JSON.stringify(started)}`);

  client.track('checkout');
  await new Promise((resume) => setTimeout(resume, 20)); // so that the exposure is later by the clock
  client.variation('checkout-cta', 'none');

  await client.identify(both);
  const value = client.variation('checkout-cta', 'none');
  client.track('checkout');
  client.track('Checkout');

  await client.identify(user);
  client.track('checkout');

  const flushed = await client.flush();
  await client.close();
  if (value === 'none') throw new Error('the flag was not served');
  if (flushed?.result === false) throw new Error(`flush: ${flushed.error}`);
}

drive().then(
  () => fetch('/done', { method: 'POST', body: '' }),
  (error) => fetch('/done', { method: 'POST', body: String(error?.stack ?? error) }),
);
