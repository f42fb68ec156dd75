// Runs in the browser: the real LaunchDarkly SDK and the real analytics.js. Flag data comes from where the page came
// from; everything else, analytics.js's settings too, from the address in the page's query, another origin.
import { createClient } from '@launchdarkly/js-client-sdk';
import { AnalyticsBrowser } from '@segment/analytics-next';

const eventsUri = new URLSearchParams(location.search).get('events');
const visitor = (n) => ({ kind: 'multi', user: { key: `u-${n}` }, device: { key: `d-${n}` } });

// Once, the answer to a tracked event gets lost on its way, so that the library sends the same event again.
let losesAnswer = false;
let sentAgain;
const wasSentAgain = new Promise((resolve) => { sentAgain = resolve; });
const send = window.fetch.bind(window);
window.fetch = async (address, request) => {
  const answer = await send(address, request);
  if (!String(address).endsWith('/v1/t')) return answer;
  if (losesAnswer) {
    losesAnswer = false;
    throw new TypeError('the answer is lost');
  }
  if (request.headers['X-Retry-Count']) sentAgain(answer.status);
  return answer;
};

async function drive() {
  const origin = location.origin;
  const client = createClient('64b0c0ffee64b0c0ffee6400', visitor(1), {
    baseUri: origin,
    streamUri: origin,
    eventsUri,
    streaming: false,
  });
  const started = await client.start({ timeout: 10 });
  if (started.status !== 'complete') throw new Error(`start: ${JSON.stringify(started)}`);
  const values = [client.variation('checkout-cta', 'none')];
  await client.identify(visitor(3));
  values.push(client.variation('checkout-cta', 'none'));
  await new Promise((resume) => setTimeout(resume, 20)); // so that the conversions are later by the clock

  const analytics = AnalyticsBrowser.load({ writeKey: 'segment-write-key-0000000000browser', cdnURL: eventsUri });
  const failures = [];
  analytics.on('error', ({ code, reason }) => failures.push(`${code}: ${reason}`));

  const who = (n) => ({ anonymousId: `a-${n}`, context: { device: { id: `d-${n}` } } });
  await analytics.identify('u-1', { plan: 'pro' }, who(1));
  await analytics.page('Basket', {}, who(1));
  await analytics.track('checkout', { revenue: '12.50' }, who(1));
  await analytics.track('Checkout', { revenue: 12.5 }, who(1));
  await analytics.track('checkout', { revenue: 'twelve' }, who(1));

  // The other way to say which device it is: once for all that follows.
  await analytics.addSourceMiddleware(({ payload, next }) => {
    payload.obj.context.device = { id: 'd-3' };
    next(payload);
  });
  await analytics.identify('u-3');
  await analytics.setAnonymousId('a-3'); // afterwards, because who becomes somebody else gets a new one
  losesAnswer = true;
  await analytics.track('checkout', { revenue: 20 });
  if (await wasSentAgain !== 200) throw new Error('what was sent again was not taken');

  const flushed = await client.flush();
  await client.close();
  if (values.includes('none')) throw new Error('the flag was not served');
  if (flushed?.result === false) throw new Error(`flush: ${flushed.error}`);
  if (failures.length > 0) throw new Error(`Segment's library gave up: ${failures.join(', ')}`);
}

drive().then(
  () => fetch('/done', { method: 'POST', body: '' }),
  (error) => fetch('/done', { method: 'POST', body: String(error?.stack ?? error) }),
);
