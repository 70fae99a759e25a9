import assert from 'node:assert/strict';
import { deriveIdentity } from '../../src/model/identity.ts';
import { Discovery } from '../../src/sources/discovery.ts';
import { SourceError } from '../../src/sources/error.ts';
import { Health } from '../../src/sources/health.ts';
import type { Host } from '../../src/sources/host.ts';
import { Publication } from '../../src/sources/publication.ts';
import { Remembered } from '../../src/sources/remembered.ts';
import type { CgroupHint, EndpointSource, Sighting, Sightings } from '../../src/sources/source.ts';
import { NO_SIGHTINGS } from '../../src/sources/source.ts';
import { waitFor } from '../rig/cleanup.ts';

/** A source that says what it is told to say. */
class ToldSource implements EndpointSource {
  readonly name: string;
  readonly publication = new Publication<Sightings>(NO_SIGHTINGS);
  readonly health = new Health(Date.now);
  readonly hints: CgroupHint[] = [];
  closed = 0;

  constructor(name: string) {
    this.name = name;
  }

  get synced(): boolean {
    return this.publication.synced;
  }

  tell(...endpoints: Sighting[]): void {
    this.publication.publish({ ...NO_SIGHTINGS, endpoints });
  }

  snapshot = () => this.publication.value;
  onChange = (listener: () => void) => this.publication.subscribe(listener);
  status = () => this.health.status();
  start = () => this.publication.first;

  hint(hint: CgroupHint): void {
    this.hints.push(hint);
  }

  async close(): Promise<void> {
    this.closed += 1;
    this.publication.release();
  }
}

function endpoint(id: string, address: string): Sighting {
  const workload = { namespace: 'docker', kind: 'Container', name: id };
  const identity = deriveIdentity('test', { workload, container: '', labels: {} });
  const none = { interfaces: [], addresses: [], ports: [], containers: [] };
  return {
    endpoint: { id, mode: 'interface', identity, netns: 100 + Number(id), ...none },
    seen: [{ address, prefix: 24, device: 'eth0', declared: false }],
    gateways: [],
    instance: id,
    startedAt: 0,
  };
}

describe('discovery', () => {
  let addresses: string[];
  let changed: () => void;
  let discovery: Discovery;
  const [first, second] = [() => sources[0]!, () => sources[1]!];
  let sources: ToldSource[];

  const host: Host = {
    namespaces: {
      node: 1,
      links: async () => [],
      addresses: async () => {
        if (addresses.includes('broken')) throw new Error('netlink says no');
        return addresses.map((address) => ({ ifindex: 1, address, prefix: 24 }));
      },
      view: () => Promise.reject(new Error('not asked for')),
      watch: (listener) => {
        changed = listener;
        return () => {};
      },
    },
    cgroups: undefined,
    proc: '/proc',
    now: Date.now,
  };

  beforeEach(() => {
    addresses = [];
    sources = [new ToldSource('one'), new ToldSource('two')];
    discovery = new Discovery({ host, domain: 'test', sources, waitMs: 50 });
  });

  afterEach(() => discovery.close());

  const shown = (): string =>
    discovery
      .snapshot()
      .endpoints.map((one) => `${one.id}=${one.addresses}`)
      .join(' ');
  const until = (what: string): Promise<void> => waitFor(`${what}, not ${shown()}`, () => shown() === what);

  it('says nothing until all sources know all, where none is late', async () => {
    let told = 0;
    discovery.onChange(() => {
      told += 1;
    });
    first().tell(endpoint('1', '10.0.0.1'));
    const started = discovery.start(new AbortController().signal);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual([discovery.synced, told], [false, 0]);
    second().tell(endpoint('2', '10.0.0.2'));
    await started;
    assert.equal(shown(), '1=10.0.0.1 2=10.0.0.2');
    assert.equal(discovery.snapshot().complete, true);
  });

  it('does not wait for ever for a source, and says that something may be missing', async () => {
    first().tell(endpoint('1', '10.0.0.1'));
    second().health.fails('engine', new SourceError('UNREACHABLE', 'away'));
    await discovery.start(new AbortController().signal);
    assert.deepEqual([shown(), discovery.snapshot().complete], ['1=10.0.0.1', false]);
    assert.deepEqual(
      discovery.sources().map(({ name, synced, status }) => [name, synced, status.error?.code]),
      [
        ['one', true, undefined],
        ['two', false, 'UNREACHABLE'],
      ],
    );
    second().tell();
    await waitFor('it is complete', () => discovery.snapshot().complete);
  });

  it('follows its sources and remembers whose addresses are', async () => {
    for (const source of sources) source.tell();
    await discovery.start(new AbortController().signal);
    second().tell(endpoint('2', '10.0.0.9'));
    await until('2=10.0.0.9');
    first().tell(endpoint('1', '10.0.0.9'));
    await until('1= 2=10.0.0.9');
    assert.deepEqual(
      discovery.snapshot().warnings.map((warning) => warning.subject),
      ['1'],
    );
    second().tell();
    await until('1=10.0.0.9');
  });

  it('takes an address from an endpoint when the node gets it', async () => {
    first().tell(endpoint('1', '10.0.0.1'));
    second().tell();
    await discovery.start(new AbortController().signal);
    addresses = ['10.0.0.1'];
    changed();
    await until('1=');
  });

  it('keeps its world while the node cannot be read, and tries again', async () => {
    first().tell(endpoint('1', '10.0.0.1'));
    second().tell();
    await discovery.start(new AbortController().signal);
    addresses = ['broken'];
    changed();
    await waitFor('it is unhealthy', () => discovery.status().error !== undefined);
    assert.match(discovery.status().error!.message, /netlink says no/);
    assert.equal(shown(), '1=10.0.0.1');
    addresses = [];
    await waitFor('it is healthy', () => discovery.status().healthy);
  });

  it('hands hints to all sources, and closes them', async () => {
    const controller = new AbortController();
    const started = discovery.start(controller.signal);
    const hint: CgroupHint = { operation: 'created', cgroup: 7n, pid: 1 };
    discovery.hint(hint);
    controller.abort();
    await started;
    assert.deepEqual(
      sources.map(({ hints, closed }) => [hints, closed > 0]),
      [
        [[hint], true],
        [[hint], true],
      ],
    );
  });
});

describe('something remembered', () => {
  it('is read once, again when forgotten, and again after it failed', async () => {
    let reads = 0;
    const remembered = new Remembered(async () => {
      reads += 1;
      if (reads === 2) throw new Error('second');
      return reads;
    });
    assert.deepEqual([await remembered.get(), await remembered.get()], [1, 1]);
    remembered.forget();
    await assert.rejects(remembered.get(), /second/);
    assert.equal(await remembered.get(), 3);
  });

  it('is read again when it was forgotten during the reading', async () => {
    let reads = 0;
    const remembered = new Remembered(async () => ++reads);
    const early = remembered.get();
    remembered.forget();
    assert.deepEqual([await early, await remembered.get()], [1, 2]);
  });
});
