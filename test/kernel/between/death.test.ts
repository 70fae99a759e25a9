import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../rig/cleanup.ts';
import { createLink, type Faults, type Link } from '../../rig/link.ts';
import { Protocol } from '../../rig/packets.ts';
import { connect, holdOpen, probe } from '../../rig/traffic.ts';
import { HANDSHAKE_PORT, Region, servicePolicy } from './region.ts';
import { Ear, forgetAll, peers, queued, standsAt, underWay } from './watch.ts';

const SOURCES = ['s1', 's2', 's3', 's4', 's5', 's6'];
const SINKS = ['d1', 'd2'];
/** Long enough that what is due to be renewed outlives an agent's start on a slow machine. */
const LIFETIME_MS = 30_000;
/** What is asked about goes to this port; what is verified already, to 8080. */
const PORT = 80;
/** The destination waits so long for a Confirm. */
const CONFIRM_MS = 3_000;
/** After so long what is verified is in the agent's store. What is not goes on until it ends, and is asked for anew. */
const SAVED_MS = 1_500;

const POLICIES = [
  ...SINKS.map((name) =>
    servicePolicy(
      name,
      name,
      `  ingress:
    - name: sources
      action: Allow
      from: [{workload: Service/s*}]`,
    ),
  ),
  servicePolicy(
    'calm-db',
    'calm-db',
    `  ingress:
    - name: calm
      action: Allow
      from: [{workload: Service/calm}]`,
  ),
].join('---\n');

const AGENTS_SILENT: Faults = { loss: 1, only: { protocol: Protocol.TCP, port: HANDSHAKE_PORT, payload: true } };
const TOKENS_LOST: Faults = { loss: 1, only: { protocol: Protocol.UDP, port: PORT } };
const GOOD: Faults = {};

type Victim = 'source' | 'destination';

/** Stops the handshake of a datagram that is sent again and again, once it has come to a step. */
interface Step {
  readonly name: string;
  /** Both policies have been asked, and agree: datagrams may pass. */
  readonly agreed: boolean;
  readonly before: (scene: Scene, victim: Victim) => Promise<void>;
  readonly until: (scene: Scene, victim: Victim) => Promise<void>;
}

interface Scene {
  readonly region: Region;
  /** Between west and the segment: what it sends is what comes from the source. */
  readonly link: Link;
}

const STEPS: readonly Step[] = [
  {
    name: 'held',
    agreed: false,
    async before({ region }, victim) {
      // Of the two agents the one does not read its queue, the other cannot be asked.
      if (victim === 'source') region.station('west').agent.kill('SIGSTOP');
      else await region.station('east').kill();
    },
    async until({ region }, victim) {
      const west = region.station('west');
      if (victim === 'source') await waitFor('it is queued', async () => (await queued(west)) > 0);
      else await standsAt(west, 'source', 'waiting', PORT);
    },
  },
  {
    name: 'requested',
    agreed: false,
    before: ({ link }) => link.set(AGENTS_SILENT, 'in'),
    until: ({ region }) => standsAt(region.station('east'), 'destination', 'promised', PORT),
  },
  {
    name: 'told the token',
    agreed: false,
    before: ({ link }) => link.set(TOKENS_LOST, 'out'),
    until: ({ region }) => standsAt(region.station('west'), 'source', 'offered', PORT),
  },
  {
    name: 'arrived',
    agreed: false,
    before: ({ link }) => link.set(TOKENS_LOST, 'out'),
    async until({ region, link }) {
      await standsAt(region.station('west'), 'source', 'offered', PORT);
      await link.set(AGENTS_SILENT, 'in');
      await link.set(GOOD, 'out');
      await standsAt(region.station('east'), 'destination', 'verified', PORT);
    },
  },
  {
    name: 'confirmed',
    agreed: true,
    before: ({ link }) => link.set(TOKENS_LOST, 'out'),
    async until({ region, link }) {
      await standsAt(region.station('west'), 'source', 'offered', PORT);
      await link.set(AGENTS_SILENT, 'out');
      await standsAt(region.station('east'), 'destination', 'verified', PORT);
      // What is believed now is in no store yet; the other end will take it back for want of a Confirm.
      await waitFor('west has verified it', async () => (await underWay(region.station('west'))).length === 0);
    },
  },
];

describe('the death of an agent', function () {
  this.timeout(180_000);
  let region: Region;
  let link: Link;
  const ears = new Map<string, Ear>();

  before(async () => {
    region = await Region.create({
      nodes: { west: [...SOURCES, 'calm'], east: [...SINKS, 'calm-db'] },
      settings: () => ({ handshake: { lifetime: `${LIFETIME_MS}ms` } }),
    });
    const { uplink } = region.member('west');
    link = await createLink(region.segment, uplink);
    await region.start();
    await region.apply(POLICIES);
    assert.equal((await connect(region.endpoint('west/calm'), calmTarget(true), { timeoutMs: 5_000 })).result, 'ok');
    await sleep(SAVED_MS);
    for (const name of SINKS) ears.set(name, await Ear.at(region.endpoint(`east/${name}`)));
  });
  after(() => {
    for (const ear of ears.values()) ear.close();
    link?.close();
    region?.close();
  });

  afterEach(async () => {
    for (const { station } of region.members.values()) if (!station.agent.running) await station.start();
    await region.connected();
  });

  const calmTarget = (udp: boolean) => ({ address: region.endpoint('east/calm-db').ipv4, port: 8080, udp });

  /** A datagram every ten milliseconds there and back, and a TCP connection, all of which go on as if nothing happened. */
  async function undisturbed(work: () => Promise<void>): Promise<void> {
    const calm = region.endpoint('west/calm');
    const ear = await Ear.at(calm);
    const echoes = probe(calm, calmTarget(true), { rate: 100, timeoutMs: 1_000 });
    const stream = await holdOpen(calm, calmTarget(false), { durationMs: 120_000, timeoutMs: 1_500 });
    try {
      assert.equal((await echoes.change(0)).passes, true);
      await work();
      await sleep(300);
      assert.ok(stream.process.running, `a connection goes on: ${stream.process.stdout}`);
      const numbers = ear
        .heard(calmTarget(true).address)
        .filter(({ protocol }) => protocol === Protocol.UDP)
        .map(({ payload }) => payload.readUInt32LE());
      const lost = Array.from({ length: (numbers.at(-1) ?? 0) + 1 }, (_, i) => i).filter((i) => !numbers.includes(i));
      assert.deepEqual(lost, [], `echoes of ${numbers.at(-1)} datagrams that are missing`);
    } finally {
      for (const one of [ear, echoes, stream.process]) one.close();
    }
  }

  for (const [number, step] of STEPS.entries()) {
    for (const victim of ['source', 'destination'] as const) {
      const family = number % 2 === 0 ? 'ipv4' : 'ipv6';

      it(`at the ${victim}, when a datagram is ${step.name}, lets nothing through and loses nothing (${family})`, async () => {
        const [from, to] = [`s${number + 1}`, victim === 'source' ? 'd1' : 'd2'];
        const [source, sink] = [region.endpoint(`west/${from}`), region.endpoint(`east/${to}`)];
        const ear = ears.get(to)!;
        const scene = { region, link };
        const station = region.station(victim === 'source' ? 'west' : 'east');
        await undisturbed(async () => {
          await step.before(scene, victim);
          const stream = probe(source, { address: sink[family], port: PORT, udp: true }, { rate: 50, timeoutMs: 300 });
          try {
            await step.until(scene, victim);
            await station.kill();
            // What the dead has said last must not come yet; whatever else leaves west may.
            if (!step.agreed) await link.set(GOOD, 'out');
            await sleep(step.agreed ? CONFIRM_MS : 700);
            if (!step.agreed)
              assert.deepEqual(
                ear.heard(source[family]).map(({ payload }) => payload.toString('hex')),
                [],
              );
            await link.set(GOOD);
            await station.start();
            await region.connected();
            const already = ear.heard(source[family]).length;
            await waitFor('datagrams arrive', () => ear.heard(source[family]).length > already + 10, 8_000);
            assert.deepEqual(ear.tokens(), []);
          } finally {
            stream.close();
            await link.set(GOOD);
          }
        });
      });
    }
  }

  for (const victim of ['source', 'destination'] as const) {
    it(`at the ${victim}, whose successor cannot reach the other, costs what is verified nothing`, async () => {
      const station = region.station(victim === 'source' ? 'west' : 'east');
      // Its whole lifetime is before it: nobody can renew it for as long as an agent takes to start.
      await forgetAll(region.station('west'), region.station('east'));
      await connect(region.endpoint('west/calm'), calmTarget(true), { timeoutMs: 5_000 });
      await sleep(SAVED_MS);
      await undisturbed(async () => {
        try {
          await link.set(AGENTS_SILENT);
          await station.kill();
          await station.start();
          // It knows all that runs here, and nothing of what runs there.
          await sleep(2_000);
        } finally {
          await link.set(GOOD);
        }
      });
    });
  }

  for (const victim of ['source', 'destination'] as const) {
    it(`at the ${victim}, while what is verified is being renewed, costs nothing, and its successor renews it`, async () => {
      const { ipv4, ipv6 } = region.endpoint('east/calm-db');
      await connect(region.endpoint('west/calm'), calmTarget(true), { timeoutMs: 5_000 });
      const west = region.station('west');
      const ends = async () => {
        const entry = (await peers(west)).find(
          ({ address, kind }) => kind === 'verified' && [ipv4, ipv6].includes(address),
        );
        return entry === undefined ? 0 : Date.parse(entry.expiresAt);
      };
      await undisturbed(async () => {
        await link.set(AGENTS_SILENT, victim === 'source' ? 'in' : 'out');
        try {
          await waitFor(
            'it is time to renew',
            async () => (await ends()) - Date.now() < LIFETIME_MS * 0.38,
            LIFETIME_MS,
          );
          const station = region.station(victim === 'source' ? 'west' : 'east');
          const before = await ends();
          await station.kill();
          await link.set(GOOD);
          await station.start();
          await waitFor('it is renewed', async () => (await ends()) > before + LIFETIME_MS * 0.3, 15_000);
        } finally {
          await link.set(GOOD);
        }
      });
    });
  }
});
