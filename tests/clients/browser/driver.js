// Drives the real browser SDK in headless Chromium. This server stands in for LaunchDarkly's data side: it serves the
// page, the goals, and the evaluations LaunchDarkly would have made; events go straight from the page to EVENTS_URI.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

const { EVENTS_URI: eventsUri, FLAGS: flagsFile, CHROMIUM: chromium = 'chromium' } = process.env;
const PATIENCE_MS = 90_000;

const flags = JSON.parse(await readFile(flagsFile, 'utf8')).flags;
const bundled = await build({ entryPoints: ['page.js'], bundle: true, format: 'iife', write: false, logLevel: 'error' });
const script = bundled.outputFiles[0].text;

// Buckets as LaunchDarkly does. A context without the experiment's kind gets the first variation and is not in the
// experiment.
function evaluate(context) {
  const contexts = context.kind === 'multi' ? context : { [context.kind]: context };
  return Object.fromEntries(Object.entries(flags).map(([key, { version, variations, fallthrough: { rollout } }]) => {
    const unit = contexts[rollout.contextKind]?.key;
    const inExperiment = unit !== undefined;
    const hash = createHash('sha1').update(`${rollout.seed}.${unit}`).digest('hex').slice(0, 15);
    let bucket = inExperiment ? (Number.parseInt(hash, 16) / 0xfffffffffffffff) * 100_000 : 0;
    const { variation } = rollout.variations.find(({ weight }) => (bucket -= weight) < 0);
    const reason = inExperiment ? { kind: 'FALLTHROUGH', inExperiment } : { kind: 'FALLTHROUGH' };
    return [key, { value: variations[variation], variation, version, flagVersion: version, trackEvents: inExperiment,
      trackReason: inExperiment, reason }];
  }));
}

let report;
const reported = new Promise((resolve) => { report = resolve; });
const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, 'http://stand-in');
  const answer = (status, type, body) => response.writeHead(status, { 'content-type': type }).end(body);
  const evaluation = pathname.match(/^\/sdk\/evalx\/[^/]+\/contexts\/([^/]+)$/);
  if (pathname === '/') return answer(200, 'text/html', '<!doctype html><title>shop</title><script src="/page.js"></script>');
  if (pathname === '/page.js') return answer(200, 'text/javascript', script);
  if (pathname.startsWith('/sdk/goals/')) return answer(200, 'application/json', '[]');
  if (evaluation) {
    const context = JSON.parse(Buffer.from(evaluation[1], 'base64url').toString('utf8'));
    return answer(200, 'application/json', JSON.stringify(evaluate(context)));
  }
  if (pathname === '/done') {
    let body = '';
    for await (const piece of request) body += piece;
    answer(204, 'text/plain');
    return report(body);
  }
  return answer(404, 'text/plain', 'no such page');
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

const profile = await mkdtemp(join(tmpdir(), 'exptap-chromium-'));
const page = `http://127.0.0.1:${server.address().port}/?events=${encodeURIComponent(eventsUri)}`;
const browser = spawn(chromium, [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-default-apps',
  `--user-data-dir=${profile}`, '--remote-debugging-port=0', page,
], { stdio: ['ignore', 'ignore', 'pipe'] });
let complaints = '';
browser.stderr.on('data', (text) => { complaints += text; });

const ended = new Promise((resolve) => {
  browser.on('error', (error) => resolve(`the browser did not start: ${error.message}`));
  browser.on('exit', (code) => resolve(`the browser ended with ${code} before the page was done`));
});
const late = new Promise((resolve) => { setTimeout(resolve, PATIENCE_MS, 'the page was not done in time').unref(); });
const failure = await Promise.race([reported, ended, late]);

if (browser.exitCode === null && browser.pid !== undefined) {
  const gone = new Promise((resolve) => { browser.on('exit', resolve); });
  browser.kill('SIGTERM');
  await gone;
}
server.closeAllConnections();
server.close();
await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
if (failure) {
  console.error(failure);
  console.error(complaints);
  process.exitCode = 1;
}
