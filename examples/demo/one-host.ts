/**
 * One host: what was allowed, denied, alerted and staged, a policy that cuts an open connection, an agent that is killed
 * under load.
 */
import { waitFor } from '../../test/rig/cleanup.ts';
import { holdOpen, serve, type Target } from '../../test/rig/traffic.ts';
import type { Stage } from './stage.ts';

export async function oneHost(stage: Stage): Promise<void> {
  const { report, agent } = stage;
  report.chapter('A Docker host: the compose project "shop" with web, api and db');
  const [web, api, db] = [await stage.run('web'), await stage.run('api'), await stage.run('db')];
  await serve(api, { tcp: '8080,9090' });
  await serve(db, { tcp: '5432', udp: '5432' });
  const at = { api: await api.ipv4(), db: await db.ipv4() };
  const apiPort = (port: number): Target => ({ address: at.api, port });
  const query: Target = { address: at.db, port: 5432 };
  const datagram: Target = { ...query, udp: true };

  report.chapter('The agent finds them, with no change to Docker');
  await agent.start();
  await waitFor('three endpoints', async () => (await enforced(stage)) === 3, 20_000);
  await agent.show('endpoint', 'list');
  report.expect('endpoints enforced', '3', String(await enforced(stage)));

  report.chapter('Without a policy everything passes');
  await stage.tries('web', 'to api:8080', apiPort(8080), 'ok');
  await stage.tries('web', 'to db:5432', query, 'ok');

  report.chapter('Policies in names: the api serves the web, the db serves the api');
  for (const name of ['api', 'db']) await agent.apply(name);
  await stage.tries('web', 'to api:8080', apiPort(8080), 'ok');
  await stage.tries('web', 'to api:9090', apiPort(9090), 'refused');
  await stage.tries('db', 'to api:8080', apiPort(8080), 'refused');
  await stage.tries('api', 'to db:5432', query, 'ok');
  await stage.tries('api', 'to db:5432 over UDP', datagram, 'ok');
  await stage.tries('web', 'to db:5432', query, 'refused');
  await stage.tries('web', 'to db:5432 over UDP', datagram, 'timeout');
  await agent.show('policy', 'explain', 'web', 'db', '--port', '5432');

  report.chapter('Allowed and reported: somebody pings the db');
  report.expect('web pings db', 'answered', await pings(stage, at.db));
  report.expect('and it is on record', 'Alert', await verdictOf(stage, 'shop/db', 'pinged'));

  report.chapter('Staged: what a policy would do, before it does');
  await agent.apply('staged');
  report.expect('web pings db, which a staged policy would deny', 'answered', await pings(stage, at.db));
  const staged = await events(stage, (event) => JSON.stringify(event).includes('shop/web-egress'));
  report.expect('the staged policy reported what it would have denied', 'true', String(staged.length > 0));

  report.chapter('A policy change binds the next packet of an open connection');
  const open = await holdOpen(web, apiPort(8080), { durationMs: 3000, interval: 10, timeoutMs: 500 });
  await agent.applyChanged('api', (text) => text.replace('Service/web', 'Service/nobody'), 'from: Service/nobody');
  report.expect('the connection web to api:8080 was cut', 'timeout', (await open.result()).result);
  await agent.apply('api');
  await stage.tries('web', 'to api:8080, allowed again', apiPort(8080), 'ok');

  report.chapter('The agent is killed under load');
  const load = await holdOpen(web, apiPort(8080), { durationMs: 5000, interval: 2, timeoutMs: 1000 });
  agent.kill();
  await stage.tries('web', 'to db:5432, with the agent dead', query, 'refused');
  await stage.tries('web', 'to api:8080, a new connection with the agent dead', apiPort(8080), 'ok');
  await agent.start();
  await stage.tries('web', 'to db:5432, with a new agent', query, 'refused');
  const outcome = await load.result();
  report.expect(`packets lost of the ${outcome.exchanges} exchanges meanwhile`, '0', String(outcome.lost));
  report.expect('the connection', 'ok', outcome.result);

  report.chapter('What Prometheus sees');
  const lines = (await agent.metrics()).filter((line) => /^sallyport_(rule|drop)_packets_total\{/.test(line));
  report.say(lines.filter((line) => !line.endsWith(' 0')).join('\n'));
  const counted = lines.some((line) => /^sallyport_drop.*"Policy"} [1-9]/.test(line));
  report.expect('drops by policy are counted', 'true', String(counted));
}

async function pings(stage: Stage, address: string): Promise<string> {
  const { status } = await stage.service('web').attempt(['ping', '-c', '1', '-W', '1', address]);
  return status === 0 ? 'answered' : 'no answer';
}

async function enforced(stage: Stage): Promise<number> {
  const endpoints = await stage.agent.list<{ readonly enforced: boolean }>('endpoint', 'list');
  return endpoints.filter((endpoint) => endpoint.enforced).length;
}

interface EventLine {
  readonly event: { readonly verdict?: string; readonly rule?: { readonly policy: string; readonly name: string } };
}

async function events(stage: Stage, wanted: (line: EventLine) => boolean): Promise<readonly EventLine[]> {
  return (await stage.agent.list<EventLine>('event', 'list')).filter(wanted);
}

async function verdictOf(stage: Stage, policy: string, rule: string): Promise<string> {
  const [line] = await events(stage, ({ event }) => event.rule?.policy === policy && event.rule.name === rule);
  return line?.event.verdict ?? 'nothing';
}
