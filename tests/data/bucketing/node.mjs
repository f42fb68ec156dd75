// Asks the real Node server SDK where it puts every key of keys.json, for every flag of flags.json, and prints it.
//   npm install @launchdarkly/node-server-sdk@9.13.7 && node node.mjs > node.json
import { readFileSync } from 'node:fs';
import { init, integrations } from '@launchdarkly/node-server-sdk';

const keys = JSON.parse(readFileSync('keys.json', 'utf8'));
const flags = Object.keys(JSON.parse(readFileSync('flags.json', 'utf8')).flags);
const client = init('sdk-00000000-0000-0000-0000-000000000000', {
  sendEvents: false,
  diagnosticOptOut: true,
  logger: { debug() {}, info() {}, warn: console.error, error: console.error },
  updateProcessor: new integrations.FileDataSourceFactory({ paths: ['flags.json'] }).getFactory(),
});
await client.waitForInitialization({ timeout: 10 });
const assigned = {};
const without_unit = {};
for (const flag of flags) {
  assigned[flag] = { variations: '', in_experiment: '' };
  for (const key of keys) {
    const detail = await client.variationDetail(flag, { kind: 'user', key }, 'none');
    assigned[flag].variations += detail.variationIndex;
    assigned[flag].in_experiment += detail.reason.inExperiment ? 1 : 0;
  }
  const detail = await client.variationDetail(flag, { kind: 'organization', key: 'o-1' }, 'none');
  without_unit[flag] = [detail.variationIndex, detail.reason.inExperiment === true];
}
client.close();
console.log(JSON.stringify({ sdk: '@launchdarkly/node-server-sdk 9.13.7', assigned, without_unit }));
