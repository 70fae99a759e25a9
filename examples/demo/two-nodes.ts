/**
 * Two nodes and two layers of NAT: connections that are tagged, datagrams that wait for a handshake, refusals with a
 * record on both nodes, and what goes on when an agent dies.
 */
import { stringify } from 'yaml';
import { waitFor } from '../../test/rig/cleanup.ts';
import { connect, holdOpen, rr, serve, type Target } from '../../test/rig/traffic.ts';
import type { Agent } from './agent.ts';
import { Annex, DB_PORT } from './annex.ts';
import type { Stage } from './stage.ts';

/** Later datagrams of a conversation that was verified. */
const LATER = 1000;
const RECEIVED = 'sallyport_hold_packets_total{result="received"}';

export async function twoNodes(stage: Stage): Promise<void> {
  const { report } = stage;
  report.prompts = true;
  report.chapter('A second node, "annex", behind a NAT box; Docker masquerades too');
  const annex = await Annex.open(stage);
  try {
    await story(stage, annex);
  } finally {
    annex.close();
  }
}

async function story(stage: Stage, annex: Annex): Promise<void> {
  const { report, agent } = stage;
  report.say(annex.map);
  await annex.makeTrust();
  report.say(`In agent.yaml of the Docker host; that of the annex likewise:\n${stringify(annex.dockerSettings)}`);
  await start(stage, annex);
  await annex.agent.apply('annex-db');
  await agent.apply('api-egress');

  const db: Target = { address: annex.address, port: DB_PORT };
  await connections(stage, annex, db);
  await datagrams(stage, annex, { ...db, udp: true });
  await death(stage, annex, { ...db, udp: true });
}

/** The Docker host's agent is started again; what it enforces is enforced meanwhile. */
async function start(stage: Stage, annex: Annex): Promise<void> {
  const { report, agent } = stage;
  agent.configure(annex.dockerSettings);
  annex.agent.configure(annex.ownSettings);
  await agent.stop();
  await Promise.all([agent.start(), annex.agent.start()]);
  for (const one of [agent, annex.agent]) {
    await waitFor('the agents are connected', async () => (await agentState(one)) === 'connected', 20_000);
  }
  await serve(annex.db, { tcp: String(DB_PORT), udp: String(DB_PORT) });
  await agent.show('peer', 'agents');
  report.expect('the agents have shown each other their certificates', 'connected', await agentState(annex.agent));
}

async function connections(stage: Stage, annex: Annex, db: Target): Promise<void> {
  const { report, agent } = stage;
  report.chapter("TCP: the SYN bears a tag through both NATs, the annex's kernel knows who opens");
  const opened = await connect(stage.service('api'), db, { timeoutMs: 900, exchange: true });
  report.expect("api to the annex's db", 'ok', opened.result);
  report.say(`connected and answered after ${time(opened.elapsedNs)}`);
  const verified = await annex.agent.metric('sallyport_tags_total{result="verified"}');
  report.say(verified);
  report.expect('the annex verified a tag', 'true', String(!verified.endsWith(' 0')));
  const none = await agent.metric(RECEIVED);
  report.expect('packets that had to wait', '0', none.slice(RECEIVED.length + 1));

  const refused = await connect(stage.service('web'), db, { timeoutMs: 900 });
  report.expect("web to the annex's db, at once", 'ECONNREFUSED', refused.error);
  report.say(`refused after ${time(refused.elapsedNs)}`);
  await recorded(report, annex.agent, 'TCP', 'the annex');
  await recorded(report, agent, 'TCP', 'the Docker host');
  await annex.agent.show('handshake', 'records', '--result', 'refused');
}

async function datagrams(stage: Stage, annex: Annex, db: Target): Promise<void> {
  const { report, agent } = stage;
  const conversation = { ...db, sourcePort: 40_000 };
  report.chapter('UDP has no place for a tag: the first datagram waits until both agents agree');
  const first = await connect(stage.service('api'), conversation, { timeoutMs: 3000 });
  report.expect("api's first datagram to the annex's db", 'ok', first.result);
  const other = await connect(stage.service('api'), { ...db, sourcePort: 40_002 }, { timeoutMs: 3000 });
  report.expect('and of another conversation, which behind NAT is asked for anew', 'ok', other.result);
  await agent.show('peer', 'list');
  const before = await agent.metric(RECEIVED);
  const later = await rr(stage.service('api'), conversation, { count: LATER, durationMs: 10_000 });
  report.say(
    `first answers took ${time(first.elapsedNs)} and ${time(other.elapsedNs)}, later ones ${time(later.p50Ns)}`,
  );
  report.expect('later ones that were answered', String(LATER), String(later.operations));
  const after = await agent.metric(RECEIVED);
  report.say(after);
  report.expect('later ones that went through user space', '0', String(difference(before, after)));

  report.chapter("A datagram that the annex's policy does not allow");
  await stage.tries('web', "to the annex's db over UDP", db, 'timeout');
  await recorded(report, agent, 'UDP', 'the Docker host');
  await recorded(report, annex.agent, 'UDP', 'the annex');
  await agent.show('handshake', 'records', '--result', 'refused', '--limit', '1');
}

async function death(stage: Stage, annex: Annex, db: Target): Promise<void> {
  const { report, agent } = stage;
  const api = stage.service('api');
  report.chapter("The annex's agent is killed: what is verified goes on, what is not does not pass");
  const load = await holdOpen(api, { ...db, sourcePort: 40_000 }, { durationMs: 3000, interval: 2, timeoutMs: 1000 });
  annex.agent.kill();
  await stage.tries('api', "to the annex's db over TCP, by its tag", { ...db, udp: false }, 'ok');
  await stage.tries(
    'api',
    "to the annex's db over UDP, another conversation",
    { ...db, sourcePort: 40_001 },
    'timeout',
  );
  const outcome = await load.result();
  report.expect(`datagrams lost of the ${outcome.exchanges} exchanges meanwhile`, '0', String(outcome.lost));
  const unreachable = () => records(agent, '--result', 'unreachable');
  await waitFor('a record', async () => (await unreachable()).length > 0, 10_000).catch(() => {});
  report.expect('records that nobody could be asked', '1', String((await unreachable()).length));
  await agent.show('handshake', 'records', '--result', 'unreachable');
}

interface RecordLine {
  readonly protocol: string;
  readonly source: { readonly workload?: string };
  readonly destination: { readonly workload?: string };
}

const records = (agent: Agent, ...args: readonly string[]) => agent.list<RecordLine>('handshake', 'records', ...args);

/** Expects the refusal of the web on record, both ends by their names. */
async function recorded(report: Stage['report'], agent: Agent, protocol: string, where: string): Promise<void> {
  const wanted = 'shop/Service/web to annex/Unit/db';
  const find = async (): Promise<string> => {
    const lines = (await records(agent, '--result', 'refused')).filter((line) => line.protocol === protocol);
    const pairs = lines.map(({ source, destination }) => `${source.workload} to ${destination.workload}`);
    return pairs.find((pair) => pair === wanted) ?? pairs[0] ?? 'nothing';
  };
  await waitFor('a record', async () => (await find()) === wanted, 5000).catch(() => {});
  report.expect(`on record at ${where}`, wanted, await find());
}

async function agentState(agent: Agent): Promise<string> {
  const [other] = await agent.list<{ readonly state: string }>('peer', 'agents');
  return other?.state ?? 'nothing';
}

const time = (ns: number): string => (ns < 1e6 ? `${Math.round(ns / 1e3)} µs` : `${(ns / 1e6).toFixed(1)} ms`);

/** Of two lines of the same metric. */
function difference(before: string, after: string): number {
  const value = (line: string) => Number(line.slice(line.lastIndexOf(' ') + 1));
  return value(after) - value(before);
}
