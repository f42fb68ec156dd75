// What `exptap probe --run` runs for each key.
import { init } from '@launchdarkly/node-server-sdk';

const { EXPTAP_EVENTS_URI: uri, EXPTAP_PROBE_FLAG: flag, EXPTAP_PROBE_CONTEXT: json, EXPTAP_PROBE_EVENTS: events } = process.env;
const client = init('sdk-00000000-1111-2222-3333-44444444node', { baseUri: uri, streamUri: uri, eventsUri: uri });
await client.waitForInitialization({ timeout: 10 });
const context = JSON.parse(json);
const value = await client.variation(flag, context, 'none');
if (value === 'none') throw new Error('the flag was not served');
for (const { event, value } of JSON.parse(events)) {
  client.track(process.env.TRACK ?? event, context, null, value ?? undefined);
}
await client.flush();
client.close();
