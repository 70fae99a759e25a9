import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { configSchema } from '../../src/agent/config.ts';
import { Gatekeeper, isClaimed, ownCgroups } from '../../src/agent/gate/gatekeeper.ts';
import { compileGatePatterns, isContainerPath } from '../../src/datapath/gate/automaton.ts';
import type { Gate, GateOpening, GateOptions, GateRecord, WaitingContainer } from '../../src/datapath/gate/port.ts';
import { CONTAINER_CGROUPS } from '../../src/datapath/gate/standard.ts';
import type { Notice } from '../../src/events/journal.ts';
import type { Container, Endpoint } from '../../src/model/endpoint.ts';
import { deriveIdentity } from '../../src/model/identity.ts';

const ID = 'ab'.repeat(32);

function waiting(cgroup: bigint, name = `docker-${ID}.scope`): WaitingContainer {
  return { cgroup, name, createdAt: 0, stoppedAt: 0, pid: 7 };
}

function endpoint(id: string, containers: readonly Pick<Container, 'id' | 'cgroup'>[]): Endpoint {
  const workload = { namespace: 'test', kind: 'Unit', name: 'web' };
  const identity = deriveIdentity('test', { workload, container: 'web', labels: {} });
  return {
    id,
    mode: 'interface',
    identity,
    containers: containers.map((one) => ({ ...one, name: 'web', runtime: 'docker', identity, pid: 7, startedAt: 0 })),
    netns: 1,
    interfaces: [],
    addresses: [],
    ports: [],
  };
}

const at = (cgroup: bigint): Container['cgroup'] => ({ id: cgroup, path: `/docker/${ID}`, level: 2 });

describe('whose a waiting container is', () => {
  it('is told by its cgroup', () => {
    assert.equal(isClaimed(waiting(5n), [endpoint(ID, [{ id: ID, cgroup: at(5n) }])]), true);
    assert.equal(isClaimed(waiting(5n), [endpoint('other', [{ id: 'other', cgroup: at(6n) }])]), false);
  });

  it('is not told by an earlier life of the same container', () => {
    assert.equal(isClaimed(waiting(6n), [endpoint(ID, [{ id: ID, cgroup: at(5n) }])]), false);
  });

  it('is told by the sandbox’s id where it is a sandbox’s own container', () => {
    assert.equal(isClaimed(waiting(5n, ID), [endpoint(ID, [])]), true);
    assert.equal(isClaimed(waiting(5n, `cri-containerd-${ID}.scope`), [endpoint(ID, [])]), true);
    assert.equal(isClaimed(waiting(5n, 'x'), [endpoint('', [])]), false);
  });
});

describe('an agent in a container', () => {
  const automaton = compileGatePatterns({ containers: CONTAINER_CGROUPS, exceptions: [] });
  const own = (path: string): readonly string[] => ownCgroups(path, (one) => isContainerPath(automaton, one));

  it('keeps no later one of its own from beginning', () => {
    assert.deepEqual(own(`/docker/${ID}`), [`/docker/${ID}`]);
    assert.deepEqual(own(`/docker/${ID}/init`), [`/docker/${ID}`]);
    assert.deepEqual(own(`/kubepods/besteffort/pod1/${ID}`), ['/kubepods/besteffort/pod1/**']);
    assert.deepEqual(own('/system.slice/sallyport.service'), []);
    assert.deepEqual(own('/'), []);
  });
});

/** A gate at a desk: who waits is what was put there. */
class Desk implements Gate {
  readonly missing = undefined;
  readonly guarded = false;
  readonly present = new Map<bigint, WaitingContainer>();
  readonly opened: bigint[] = [];
  readonly killed: bigint[] = [];
  readonly beyond = new Set<bigint>();
  options: GateOptions | undefined;

  configure(options: GateOptions): void {
    this.options = options;
  }

  waiting(): readonly WaitingContainer[] {
    return [...this.present.values()];
  }

  find(cgroup: bigint): WaitingContainer | undefined {
    return this.present.get(cgroup);
  }

  unreached(): ReadonlySet<bigint> {
    return new Set([...this.beyond].filter((cgroup) => !this.present.has(cgroup)));
  }

  open(cgroup: bigint): GateOpening {
    this.opened.push(cgroup);
    this.present.delete(cgroup);
    return { processes: 1, heldMs: 1, ...(this.beyond.has(cgroup) ? { error: new Error('not permitted') } : {}) };
  }

  kill(cgroup: bigint): { processes: number } {
    this.killed.push(cgroup);
    return { processes: 1 };
  }

  openAll(): void {
    for (const cgroup of [...this.present.keys()]) this.open(cgroup);
  }

  counters(): never {
    throw new Error('nobody asks');
  }
}

describe('a gatekeeper', () => {
  const keepers: Gatekeeper[] = [];
  afterEach(() => {
    for (const keeper of keepers.splice(0)) keeper.close(true);
  });

  interface Setting {
    readonly desk: Desk;
    readonly keeper: Gatekeeper;
    readonly reasons: string[];
    readonly notices: Notice[];
    readonly hints: (string | undefined)[];
    readonly later: (ms: number) => void;
    /** A round has ended, and these are in the kernel. */
    readonly apply: (...endpoints: readonly Endpoint[]) => void;
  }
  const set = (gate: object = {}, sources = true): Setting => {
    const desk = new Desk();
    const [reasons, notices, hints]: [string[], Notice[], (string | undefined)[]] = [[], [], []];
    let now = 1_000_000;
    let standing: readonly Endpoint[] = [];
    const cgroups = [{ path: '/system.slice//*.service', workload: 'host/Unit/{name}' }];
    const keeper = new Gatekeeper({
      gate: desk,
      config: configSchema.parse({ gate, sources: { cgroups } }),
      own: [`/docker/${ID}`],
      now: () => now,
      hint: (hint) => hints.push(hint.name),
      standing: () => standing,
      hasSources: () => sources,
      note: (notice) => notices.push(notice),
      onOpened: (reason) => reasons.push(reason),
      onTimeout: (outcome) => reasons.push(`timeout ${outcome}`),
    });
    keepers.push(keeper);
    keeper.start();
    const apply = (...endpoints: readonly Endpoint[]): void => {
      standing = endpoints;
      keeper.applied();
    };
    return { desk, keeper, reasons, notices, hints, later: (ms) => (now += ms), apply };
  };
  const record = (cgroup: bigint, operation: GateRecord['operation'] = 'stopped'): GateRecord => {
    return { kind: 'gate', time: 0, operation, cgroup, name: ID, pid: 7, by: 9n };
  };

  it('says whom it could not reach, and tries again until it can', () => {
    const { desk, keeper, notices, apply } = set();
    desk.present.set(5n, waiting(5n));
    desk.beyond.add(5n);
    keeper.start();
    apply(endpoint(ID, [{ id: ID, cgroup: at(5n) }]));
    assert.deepEqual(keeper.problems, [`docker-${ID}.scope cannot begin: not permitted`]);
    assert.deepEqual(
      notices.map(({ action }) => action),
      ['stuck'],
    );
    keeper.look();
    assert.deepEqual([desk.opened, keeper.problems.length, notices.length], [[5n, 5n], 1, 1]);
    desk.beyond.delete(5n);
    keeper.look();
    assert.deepEqual([desk.opened, keeper.problems], [[5n, 5n], []]);
  });

  it('lets those of sources.cgroups wait too, and its own never', () => {
    const { desk } = set();
    assert.deepEqual(desk.options?.containers, [...CONTAINER_CGROUPS, '/system.slice/*.service']);
    assert.deepEqual(desk.options?.exceptions, [`/docker/${ID}`]);
  });

  it('opens for who is in the kernel, whichever it hears of first', () => {
    const { desk, keeper, reasons, apply } = set();
    const [first, second] = [
      endpoint('a', [{ id: 'a', cgroup: at(1n) }]),
      endpoint('b', [{ id: 'b', cgroup: at(2n) }]),
    ];
    desk.present.set(1n, waiting(1n));
    keeper.receive([record(1n)]);
    assert.deepEqual(desk.opened, []);
    apply(first, second);
    assert.deepEqual(desk.opened, [1n]);
    desk.present.set(2n, waiting(2n));
    keeper.receive([record(2n)]);
    assert.deepEqual(desk.opened, [1n, 2n]);
    assert.deepEqual(reasons, ['enforced', 'enforced']);
  });

  it('asks the sources until one tells', async () => {
    const { desk, keeper, hints, apply } = set();
    desk.present.set(1n, waiting(1n, ID));
    keeper.receive([record(1n)]);
    assert.deepEqual(hints, [ID]);
    await sleep(100);
    assert.ok(hints.length > 2);
    apply(endpoint(ID, []));
    const asked = hints.length;
    await sleep(100);
    assert.equal(hints.length, asked);
  });

  it('finds who waits without having been told', () => {
    const { desk, keeper } = set();
    desk.present.set(1n, waiting(1n));
    keeper.look();
    assert.deepEqual(
      keeper.waiting.map(({ cgroup }) => cgroup),
      [1n],
    );
    desk.present.clear();
    keeper.look();
    assert.deepEqual(keeper.waiting, []);
  });

  it('keeps nobody waiting where nobody could ever tell', () => {
    const { desk, keeper, reasons, apply } = set({}, false);
    apply();
    desk.present.set(1n, waiting(1n));
    keeper.receive([record(1n)]);
    assert.deepEqual(reasons, ['unclaimed']);
  });

  it('opens nothing before the first round', () => {
    const { desk, keeper } = set({}, false);
    desk.present.set(1n, waiting(1n));
    keeper.receive([record(1n)]);
    assert.deepEqual(desk.opened, []);
  });

  it('kills whoever comes into a container whose time is over, and opens it no more', async () => {
    const { desk, keeper, reasons, notices, later, apply } = set({ timeout: '1s', onTimeout: 'kill' });
    desk.present.set(1n, waiting(1n));
    keeper.receive([record(1n)]);
    later(1_001);
    await sleep(250);
    assert.deepEqual([reasons, desk.killed], [['timeout kill'], [1n]]);
    assert.equal(notices[0]?.action, 'killed');
    keeper.receive([record(1n)]);
    assert.deepEqual(desk.killed, [1n, 1n]);
    apply(endpoint('a', [{ id: 'a', cgroup: at(1n) }]));
    assert.deepEqual(desk.opened, []);
  });

  it('kills what another container has continued, should it have begun', () => {
    const { desk, keeper, notices } = set();
    desk.present.set(1n, waiting(1n));
    keeper.receive([record(1n), record(1n, 'condemned')]);
    assert.deepEqual(desk.killed, [1n]);
    assert.equal(notices[0]?.severity, 'error');
  });
});
