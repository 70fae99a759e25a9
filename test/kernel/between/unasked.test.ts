import assert from 'node:assert/strict';
import { waitFor } from '../../rig/cleanup.ts';
import { connect } from '../../rig/traffic.ts';
import { Region, servicePolicy } from './region.ts';

const PORT = 8080;
/** A datagram may wait for the deadline of a handshake before it goes. */
const PATIENCE_MS = 8_000;

/** Those of each situation have never spoken before: what was verified would stand for minutes. */
const NUMBERS = [0, 1, 2];

const POLICIES = [
  ...NUMBERS.map((number) =>
    servicePolicy(
      `bound${number}`,
      `bound${number}`,
      `  egress:
    - name: to-open
      to: [{workload: Service/open}]`,
    ),
  ),
  servicePolicy(
    'guarded',
    'guarded',
    `  ingress:
    - name: from-free
      from: [{workload: Service/free*}]`,
  ),
].join('---\n');

/** `free` may open to anybody, `bound` to `open` alone; `guarded` lets `free` in and nobody else, `open` anybody. */
describe('what nobody can be asked about', function () {
  this.timeout(120_000);
  let region: Region;

  before(async () => {
    region = await Region.create({
      nodes: { west: NUMBERS.flatMap((number) => [`free${number}`, `bound${number}`]), east: ['open', 'guarded'] },
    });
    await region.start();
    await region.apply(POLICIES);
  });
  after(() => region?.close());

  const answered = async (from: string, to: string): Promise<boolean> => {
    const address = region.endpoint(`east/${to}`).ipv4;
    const target = { address, port: PORT, udp: true };
    return (await connect(region.endpoint(`west/${from}`), target, { timeoutMs: PATIENCE_MS })).result === 'ok';
  };
  const becomes = (from: string, to: string) => waitFor(`${from} reaches ${to}`, () => answered(from, to), 60_000);

  it('is decided by who is who as long as all can be asked', async () => {
    await becomes('bound0', 'open');
    await becomes('free0', 'guarded');
    assert.equal(await answered('bound0', 'guarded'), false);
  });

  for (const [number, situation, west] of [
    [1, 'the other agent is away', true],
    [2, 'no agent is there at all', false],
  ] as const) {
    const [free, bound] = [`free${number}`, `bound${number}`];
    it(`goes as a stranger's where ${situation} and nobody restricts it, and the other end judges strangers`, async () => {
      await region.station('east').kill();
      if (!west) await region.station('west').kill();
      await becomes(free, 'open');
      const [opened, letIn] = await Promise.all([answered(bound, 'open'), answered(free, 'guarded')]);
      assert.equal(opened, false, 'who is restricted opened to nobody knows whom');
      assert.equal(letIn, false, 'a stranger was let in');
    });

    it(`is decided by who is who again when the agents are back after ${situation}`, async () => {
      await Promise.all(['east', ...(west ? [] : ['west'])].map((name) => region.station(name).start()));
      await region.connected();
      await becomes(free, 'guarded');
      await becomes(bound, 'open');
      assert.equal(await answered(bound, 'guarded'), false);
    });
  }
});
