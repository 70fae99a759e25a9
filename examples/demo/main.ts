/**
 * `make demo`: real Docker containers, an agent, policies by name. Tells what was allowed, denied, alerted and
 * staged, cuts an open connection by changing a policy, kills the agent under load, and leaves nothing behind.
 * Exits 0 only if every expectation was observed.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { waitFor } from '../../test/rig/cleanup.ts';
import type { Container } from '../../test/rig/docker.ts';
import { connect, holdOpen, serve, type Target } from '../../test/rig/traffic.ts';
import { Report } from './report.ts';
import { Stage } from './stage.ts';

const POLICIES = resolve(import.meta.dirname, 'policies');
const TIMEOUT_MS = 400;
const report = new Report();

async function main(): Promise<number> {
  report.chapter('A Docker host: the compose project "shop" with web, api and db');
  const stage = await Stage.open();
  try {
    await story(stage);
  } finally {
    stage.close();
  }
  return report.end();
}

async function story(stage: Stage): Promise<void> {
  const web = await stage.service('web');
  const api = await stage.service('api');
  const db = await stage.service('db');
  await serve(api, { tcp: '8080,9090' });
  await serve(db, { tcp: '5432', udp: '5432' });
  const at = { api: await api.ipv4(), db: await db.ipv4() };
  const apiPort = (port: number): Target => ({ address: at.api, port });
  const query: Target = { address: at.db, port: 5432 };

  report.chapter('The agent finds them, with no change to Docker');
  await stage.startAgent();
  await waitFor('three endpoints', async () => (await endpoints(stage)).length === 3, 20_000);
  await show(stage, ['endpoint', 'list']);
  const found = await endpoints(stage);
  report.expect('endpoints enforced', '3', String(found.length));

  report.chapter('Without a policy everything passes');
  await tries(web, 'web to api:8080', apiPort(8080), 'ok');
  await tries(web, 'web to db:5432', query, 'ok');

  report.chapter('Policies in names: the api serves the web, the db serves the api');
  for (const name of ['api', 'db']) await apply(stage, name);
  await tries(web, 'web to api:8080', apiPort(8080), 'ok');
  await tries(web, 'web to api:9090', apiPort(9090), 'timeout');
  await tries(db, 'db to api:8080', apiPort(8080), 'timeout');
  await tries(api, 'api to db:5432', query, 'ok');
  await tries(api, 'api to db:5432 over UDP', { ...query, udp: true }, 'ok');
  await tries(web, 'web to db:5432', query, 'timeout');
  await tries(web, 'web to db:5432 over UDP', { ...query, udp: true }, 'timeout');
  await show(stage, ['policy', 'explain', 'web', 'db', '--port', '5432']);

  report.chapter('Allowed and reported: somebody pings the db');
  const ping = await web.attempt(['ping', '-c', '1', '-W', '1', at.db]);
  report.expect('web pings db', 'answered', ping.status === 0 ? 'answered' : 'no answer');
  report.expect('and it is on record', 'Alert', await verdictOf(stage, 'shop/db', 'pinged'));

  report.chapter('Staged: what a policy would do, before it does');
  await apply(stage, 'staged');
  await tries(web, 'web to db by ping, under a staged policy that would deny it', undefined, 'ok', at.db);
  const staged = await events(stage, (event) => JSON.stringify(event).includes('shop/web-egress'));
  report.expect('the staged policy reported what it would have denied', 'true', String(staged.length > 0));

  report.chapter('A policy change binds the next packet of an open connection');
  const open = await holdOpen(web, apiPort(8080), { durationMs: 3000, interval: 10, timeoutMs: 500 });
  const removed = await stage.sallyport(
    ['policy', 'apply', '-f', '-'],
    policy('api').replace('Service/web', 'Service/nobody'),
  );
  report.command('sallyport policy apply -f - # from: Service/nobody', removed.stdout + removed.stderr);
  report.expect('the connection web to api:8080 was cut', 'timeout', (await open.result()).result);
  await apply(stage, 'api');
  await tries(web, 'web to api:8080, allowed again', apiPort(8080), 'ok');

  report.chapter('The agent is killed under load');
  const load = await holdOpen(web, apiPort(8080), { durationMs: 5000, interval: 2, timeoutMs: 1000 });
  stage.killAgent();
  report.command('kill -9 AGENT', '');
  await tries(web, 'web to db:5432, with the agent dead', query, 'timeout');
  await tries(web, 'web to api:8080, a new connection with the agent dead', apiPort(8080), 'ok');
  await stage.startAgent();
  await tries(web, 'web to db:5432, with a new agent', query, 'timeout');
  const outcome = await load.result();
  report.expect(`packets lost of the ${outcome.exchanges} exchanges meanwhile`, '0', String(outcome.lost));
  report.expect('the connection', 'ok', outcome.result);

  report.chapter('What Prometheus sees');
  const lines = (await stage.metrics())
    .split('\n')
    .filter((line) => /^sallyport_(rule|drop)_packets_total\{/.test(line));
  report.say(lines.filter((line) => !line.endsWith(' 0')).join('\n'));
  report.expect(
    'drops by policy are counted',
    'true',
    String(lines.some((line) => /^sallyport_drop.*"Policy"} [1-9]/.test(line))),
  );
}

async function tries(
  from: Container,
  what: string,
  target: Target | undefined,
  wanted: string,
  pinged = '',
): Promise<void> {
  if (target === undefined) {
    const { status } = await from.attempt(['ping', '-c', '1', '-W', '1', pinged]);
    report.expect(what, wanted, status === 0 ? 'ok' : 'timeout');
    return;
  }
  report.expect(what, wanted, (await connect(from, target, { timeoutMs: TIMEOUT_MS, exchange: true })).result);
}

const policy = (name: string): string => readFileSync(join(POLICIES, `${name}.yaml`), 'utf8');

async function apply(stage: Stage, name: string): Promise<void> {
  const path = join(POLICIES, `${name}.yaml`);
  const { status, stdout, stderr } = await stage.sallyport(['policy', 'apply', '-f', path]);
  report.command(`sallyport policy apply -f ${name}.yaml`, stdout + stderr);
  if (status !== 0) throw new Error(`policy ${name} was refused`);
}

async function show(stage: Stage, args: readonly string[]): Promise<void> {
  const { stdout, stderr } = await stage.sallyport(args);
  report.command(`sallyport ${args.join(' ')}`, stdout + stderr);
}

/** Endpoints that are enforced, as `-o json` shows them. */
async function endpoints(stage: Stage): Promise<readonly { readonly enforced: boolean }[]> {
  const { stdout } = await stage.sallyport(['endpoint', 'list', '-o', 'json']);
  return (JSON.parse(stdout || '[]') as { readonly enforced: boolean }[]).filter(({ enforced }) => enforced);
}

interface EventLine {
  readonly event: { readonly verdict?: string; readonly rule?: { readonly policy: string; readonly name: string } };
}

async function events(stage: Stage, wanted: (line: EventLine) => boolean): Promise<readonly EventLine[]> {
  const { stdout } = await stage.sallyport(['event', 'list', '-o', 'json']);
  return (JSON.parse(stdout || '[]') as EventLine[]).filter(wanted);
}

async function verdictOf(stage: Stage, policyName: string, ruleName: string): Promise<string> {
  const [line] = await events(stage, ({ event: { rule } }) => rule?.policy === policyName && rule.name === ruleName);
  return line?.event.verdict ?? 'nothing';
}

process.exitCode = await main();
