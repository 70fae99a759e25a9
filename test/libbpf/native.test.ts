import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import {
  BpfLink,
  BpfMap,
  BpfProgram,
  LoadedObject,
  OpenObject,
  RingBuffer,
  TypedMap,
  U32,
} from '../../src/libbpf/index.ts';
import { type Native, native } from '../../src/libbpf/native.ts';

/** Every function of the addon with arguments that are right but for the handles, which no test here has. */
const CALLS: Readonly<Record<keyof Native, readonly unknown[]>> = {
  openObject: ['/no/such/object', undefined],
  objectMaps: ['handle'],
  objectPrograms: ['handle'],
  objectMapMaxEntries: ['handle', 0],
  objectMapSetMaxEntries: ['handle', 0, 1],
  objectMapPinPath: ['handle', 0],
  objectMapSetPinPath: ['handle', 0, undefined],
  objectMapReuse: ['handle', 0, 'handle'],
  objectMapSetInner: ['handle', 0, 'handle'],
  objectMapSetAutocreate: ['handle', 0, true],
  objectMapInitialValue: ['handle', 0],
  objectMapSetInitialValue: ['handle', 0, Buffer.alloc(4)],
  objectProgramAutoload: ['handle', 'name'],
  objectProgramSetAutoload: ['handle', 'name', true],
  loadObject: ['handle'],
  objectBtf: ['handle'],
  objectMap: ['handle', 0],
  objectProgram: ['handle', 'name'],
  mapLookup: ['handle', Buffer.alloc(4), Buffer.alloc(4), 0],
  mapTake: ['handle', Buffer.alloc(4), Buffer.alloc(4)],
  mapUpdate: ['handle', Buffer.alloc(4), Buffer.alloc(4), 0],
  mapUpdateInner: ['handle', Buffer.alloc(4), 'handle', 0],
  mapDelete: ['handle', Buffer.alloc(4)],
  mapNextKey: ['handle', undefined, Buffer.alloc(4)],
  mapFreeze: ['handle'],
  mapLookupBatch: ['handle', Buffer.alloc(4), true, Buffer.alloc(4), Buffer.alloc(4), 1],
  mapUpdateBatch: ['handle', Buffer.alloc(4), Buffer.alloc(4), 1, 0],
  mapDeleteBatch: ['handle', Buffer.alloc(4), 1],
  createMap: ['type', 'name', 4, 4, 1, 0, undefined],
  openMapById: ['id'],
  mapInfo: ['handle'],
  openProgramById: ['id'],
  programInfo: ['handle'],
  testRun: ['handle', undefined, undefined, 0, undefined, undefined],
  loadProgram: ['type', 0, 'name', Buffer.alloc(8), undefined, undefined],
  createLink: ['handle', 0, 0, 0],
  openRawTracepoint: ['handle', undefined],
  attachProgram: ['handle', 'name'],
  updateLink: ['handle', 'handle'],
  detachLink: ['handle'],
  openLinkById: ['id'],
  linkInfo: ['handle'],
  readIterator: ['handle', undefined, 1],
  queryAttached: ['ifindex', 46, true],
  createClsact: ['ifindex', 1],
  destroyClsact: ['ifindex', 1],
  attachClsact: ['ifindex', 1, 'handle', 1, 1, true],
  queryClsact: ['ifindex', 1, 1, 1],
  detachClsact: ['ifindex', 1, 1, 1],
  probeInterface: ['handle', 46],
  openRing: ['handle'],
  consumeRing: ['handle', Buffer.alloc(8), new Uint32Array(2)],
  ringStatus: ['handle'],
  createPoll: ['handle', () => {}],
  resumePoll: ['handle'],
  pausePoll: ['handle'],
  refPoll: ['handle', true],
  openNetlink: ['protocol', 0, undefined],
  sendNetlink: ['handle', Buffer.alloc(16)],
  receiveNetlink: ['handle', Buffer.alloc(16), false],
  openPinned: ['/no/such/pin', 'map'],
  pin: ['handle', '/no/such/pin'],
  close: ['handle'],
  descriptor: ['handle'],
  nextId: ['map', 'id'],
  enableStats: [],
  possibleCpus: [],
  probeMapType: ['type'],
  kernelFunctionId: ['no_such_function', undefined],
  cgroupId: ['/no/such/cgroup'],
  peerCredentials: ['fd'],
  mountBpffs: ['/no/such/directory'],
  openPidfd: ['pid'],
  signalPidfd: ['pid', 'pid'],
  trimHeap: [],
  releaseProgram: [],
  takeLog: [],
};

/** Nothing of this is a handle, an integer or a path. */
const NONSENSE: readonly unknown[] = [
  undefined,
  null,
  true,
  Symbol('handle'),
  Number.NaN,
  -0.5,
  2 ** 53,
  10n ** 30n,
  '',
  'a\0b',
  'x'.repeat(5000),
  {},
  [],
  () => {},
  Buffer.alloc(0),
  new Uint16Array(1),
  new ArrayBuffer(8),
  new Proxy({}, {}),
  globalThis,
];

type Callable = (...args: unknown[]) => unknown;

function call(name: keyof Native, args: readonly unknown[]): unknown {
  return (native[name] as unknown as Callable)(...args);
}

describe('The addon', () => {
  it('has exactly the functions that TypeScript knows', () => {
    assert.deepEqual(Object.keys(native).sort(), Object.keys(CALLS).sort());
  });

  it('refuses everything that is no handle where it wants one', () => {
    for (const [name, args] of Object.entries(CALLS)) {
      const at = args.indexOf('handle');
      if (at === -1) continue;
      for (const nonsense of NONSENSE) {
        const wrong = args.map((argument, index) => (index === at ? nonsense : argument));
        assert.throws(() => call(name as keyof Native, wrong), { name: 'TypeError', code: 'ERR_BPF_ARGUMENT' }, name);
      }
    }
  });

  it('refuses handles that are not its own, whoever made them', () => {
    for (const foreign of [new Socket(), process, globalThis]) {
      assert.throws(() => call('close', [foreign]), { code: 'ERR_BPF_ARGUMENT' });
    }
  });

  it('refuses missing arguments and ones of another type, one after the other', () => {
    for (const [name, args] of Object.entries(CALLS)) {
      for (let count = 0; count < args.length; count++) {
        // Numbers stay words here, so that no call is right by chance.
        const wrong = args.slice(0, count);
        if (args.slice(count).every((argument) => argument === undefined)) continue;
        assert.throws(() => call(name as keyof Native, wrong), { name: 'TypeError' }, `${name} with ${count}`);
      }
    }
  });

  it('throws nothing but TypeErrors for nonsense in any place', () => {
    for (const [name, args] of Object.entries(CALLS)) {
      for (let at = 0; at < args.length; at++) {
        for (const nonsense of NONSENSE) {
          try {
            call(
              name as keyof Native,
              args.map((argument, index) => (index === at ? nonsense : argument)),
            );
          } catch (error) {
            assert.ok(error instanceof TypeError, `${name}: ${String(error)}`);
          }
        }
      }
    }
  });

  it('loads in a worker and again in the next one', async () => {
    const code = `import('${import.meta.dirname}/../../src/libbpf/index.ts').then((bpf) => {
      require('node:worker_threads').parentPort.postMessage(bpf.possibleCpus());
    })`;
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(code, { eval: true });
      const cpus = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      assert.ok(Number(cpus) >= 1);
      await worker.terminate();
    }
  });
});

describe('The classes', () => {
  it('cannot be made of anything but handles of the addon', () => {
    for (const nonsense of NONSENSE) {
      for (const make of [
        () => new BpfMap(nonsense as never),
        () => new BpfProgram(nonsense as never),
        () => new BpfLink(nonsense as never, 'nothing'),
        () => new OpenObject(nonsense as never, 'nothing'),
        () => new LoadedObject(nonsense as never, 'nothing', [], new Map()),
        () => new RingBuffer(nonsense as never, { onBatch: () => {} }),
        () => new TypedMap(nonsense as never, U32, U32),
      ]) {
        assert.throws(make, (error: Error) => error instanceof TypeError || error.name === 'BpfError');
      }
    }
  });
});
