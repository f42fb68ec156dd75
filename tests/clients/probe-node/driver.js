// A real Node server SDK whose every URI leads to exptap: its flags come through exptap from a server here that streams
// them as LaunchDarkly does, its events go to exptap, and `exptap probe` follows its keys from evaluation to conversion.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';

const { EXPTAP: exptap, FLAGS: flags, CATALOG: catalog, RECORDING: recording } = process.env;
const payload = JSON.stringify(JSON.parse(readFileSync(flags)));
const asked = [];
const upstream = createServer((request, response) => {
  asked.push([request.url, request.headers.authorization]);
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  response.write(`event: put\ndata: {"path":"/","data":${payload}}\n\n`);
});
upstream.listen(0, '127.0.0.1');
await once(upstream, 'listening');

async function probe(name, more = {}) {
  const { port } = upstream.address();
  rmSync(recording, { force: true });
  const child = spawn(
    exptap,
    ['probe', '--catalog', catalog, '--listen', '127.0.0.1:0', '--forward-flags', `http://127.0.0.1:${port}`,
      '--keys', '3', '--run', 'node probe.js', '--format', 'json', '--record', recording],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...more } },
  );
  let printed = '';
  child.stdout.on('data', (data) => { printed += data; });
  const [code] = await once(child, 'close');
  console.log(`${name}: ${printed.trim()}`);
  return [code, JSON.parse(printed)];
}

const [code, outcome] = await probe('as it should be');
assert.equal(code, 0);
assert.equal(outcome.ended, 'complete');
assert.equal(outcome.probes.length, 3);
// The flags that passed by say where each key falls, and the SDK served just that.
assert.ok(outcome.probes.every((it) => it.complete && it.expected_arm === it.exposed_to));
assert.deepEqual(asked, Array(3).fill(['/all', 'sdk-00000000-1111-2222-3333-44444444node']));
const recorded = readFileSync(recording, 'utf8');
assert.ok(recorded.includes('"flags":[{"credential":"sdk-…node#') && recorded.includes('"seed":61'));
assert.ok(!recorded.includes('11111111'));

const [failed, wrong] = await probe('with another event key', { TRACK: 'Checkout' });
assert.equal(failed, 1);
assert.equal(wrong.ended, 'commands-ended');
for (const it of wrong.probes) {
  assert.notEqual(it.exposed_to, null);
  assert.match(it.missing[0].text, /but Checkout did/);
}
upstream.closeAllConnections();
upstream.close();
