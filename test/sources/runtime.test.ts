import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData, UntypedServiceImplementation } from '@grpc/grpc-js';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { toCandidates } from '../../src/sources/cri/pod.ts';
import { Runtime } from '../../src/sources/cri/runtime.ts';
import { CriSource } from '../../src/sources/cri/source.ts';
import type { Host } from '../../src/sources/host.ts';
import { waitFor } from '../rig/cleanup.ts';

const host: Host = {
  namespaces: {
    node: 1,
    links: async () => [],
    addresses: async () => [],
    view: () => Promise.reject(new Error('not asked for')),
    watch: () => () => {},
  },
  cgroups: undefined,
  proc: '/proc',
  now: Date.now,
};

/** What the real runtime at hand (containerd 1.6) does not do: these answers come from a server of the test's own. */
describe('a runtime that misbehaves, or is newer', () => {
  let directory: string;
  let socket: string;
  let server: Server;
  const schema = protobuf.parse(readFileSync('src/sources/cri/runtime.proto', 'utf8')).root;
  const signal = new AbortController().signal;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sallyport-test-runtime-'));
    socket = join(directory, 'cri.sock');
  });

  afterEach(() => {
    server.forceShutdown();
    rmSync(directory, { recursive: true });
  });

  type Unary = (call: ServerUnaryCall<object, object>, reply: sendUnaryData<object>) => void;
  type Streaming = (call: ServerWritableStream<object, object>) => void;

  async function answer(handlers: Readonly<Record<string, Unary | Streaming>>): Promise<void> {
    server = new Server();
    const { methods } = schema.lookupService('runtime.v1.RuntimeService');
    const definition = Object.fromEntries(
      Object.entries(methods).map(([name, method]) => {
        const [request, response] = [method.requestType, method.responseType].map((type) =>
          schema.lookupType(`runtime.v1.${type}`),
        );
        return [
          name,
          {
            path: `/runtime.v1.RuntimeService/${name}`,
            requestStream: false,
            responseStream: method.responseStream ?? false,
            requestSerialize: (value: object) => Buffer.from(request!.encode(value).finish()),
            requestDeserialize: (bytes: Buffer) => request!.decode(bytes) as object,
            responseSerialize: (value: object) =>
              Buffer.isBuffer(value) ? value : Buffer.from(response!.encode(response!.fromObject(value)).finish()),
            responseDeserialize: (bytes: Buffer) => response!.decode(bytes) as object,
          },
        ];
      }),
    );
    server.addService(definition, handlers as UntypedServiceImplementation);
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  const reply =
    (value: object): Unary =>
    (_, callback) =>
      callback(null, value);

  const refuse =
    (code: status): Unary =>
    (_, callback) =>
      callback({ code, details: 'no' });

  async function withRuntime<T>(use: (runtime: Runtime) => Promise<T>): Promise<T> {
    const runtime = new Runtime({ socket, timeoutMs: 300 });
    try {
      return await use(runtime);
    } finally {
      runtime.close();
    }
  }

  const refusals = [
    { code: status.UNIMPLEMENTED, means: 'VERSION' },
    { code: status.UNAVAILABLE, means: 'UNREACHABLE' },
    { code: status.RESOURCE_EXHAUSTED, means: 'TOO_LARGE' },
    { code: status.PERMISSION_DENIED, means: 'REFUSED' },
  ];
  for (const { code, means } of refusals) {
    it(`means ${means} when it answers ${status[code]}`, async () => {
      await answer({ Version: refuse(code) });
      await assert.rejects(
        withRuntime((runtime) => runtime.version(signal)),
        { name: 'SourceError', code: means, message: /Version .*: .*no/ },
      );
    });
  }

  it('cannot make us wait for ever', async () => {
    await answer({ Version: () => {} });
    await assert.rejects(
      withRuntime((runtime) => runtime.version(signal)),
      { code: 'TIMEOUT' },
    );
  });

  it('is told when it answers nonsense', async () => {
    await answer({ ListContainers: reply(Buffer.from([0xff, 0xff, 0xff])) });
    await assert.rejects(
      withRuntime((runtime) => runtime.containers(signal)),
      { code: 'MALFORMED' },
    );
  });

  it('is told when its details are nonsense, and may leave them out', async () => {
    const known = { status: { id: 'x', state: 1, startedAt: 5_000_000 } };
    await answer({ ContainerStatus: reply({ ...known, info: { info: '{"pid":"one"}' } }) });
    await assert.rejects(
      withRuntime((runtime) => runtime.container('x', signal)),
      { code: 'MALFORMED' },
    );
    server.forceShutdown();
    await answer({ ContainerStatus: reply(known) });
    assert.deepEqual(await withRuntime((runtime) => runtime.container('x', signal)), {
      pid: 0,
      running: true,
      startedAt: 5,
      image: '',
    });
  });

  it('does not know a container when it says so', async () => {
    await answer({ ContainerStatus: refuse(status.NOT_FOUND), PodSandboxStatus: refuse(status.NOT_FOUND) });
    assert.equal(await withRuntime((runtime) => runtime.container('x', signal)), undefined);
    assert.equal(await withRuntime((runtime) => runtime.sandbox('x', signal)), undefined);
  });

  it('is asked at once after its events', async () => {
    let [asked, tell] = [0, (): void => {}];
    await answer({
      Version: reply({ runtimeName: 'test' }),
      ListPodSandbox: (_: unknown, callback: sendUnaryData<object>) => {
        asked += 1;
        callback(null, { items: [] });
      },
      ListContainers: reply({ containers: [] }),
      GetContainerEvents: (call: ServerWritableStream<object, object>) => {
        tell = () => call.write({ containerId: 'x' });
      },
    });
    const source = new CriSource({ host, domain: 'test', socket, pollMs: 3_600_000 });
    await source.start(signal);
    assert.equal(asked, 1);
    tell();
    await waitFor('it is asked again', () => asked === 2);
    await source.close();
  });

  it('that tells nonsense of one container does not keep us from the others', async () => {
    const sandbox = { id: 's'.repeat(64), metadata: { name: 'web', namespace: 'shop', uid: 'u' } };
    const container = (id: string) => ({ id, podSandboxId: sandbox.id, metadata: { name: id }, state: 1 });
    await answer({
      Version: reply({ runtimeName: 'test' }),
      ListPodSandbox: reply({ items: [sandbox] }),
      ListContainers: reply({ containers: [container('bad'), container('good')] }),
      PodSandboxStatus: reply({ status: { id: sandbox.id }, info: { info: '{}' } }),
      ContainerStatus: (call: ServerUnaryCall<object, object>, callback: sendUnaryData<object>) => {
        const { containerId } = call.request as { containerId: string };
        const info = containerId === 'bad' ? 'nonsense' : `{"pid":${process.pid}}`;
        callback(null, { status: { id: containerId, state: 1 }, info: { info } });
      },
    });
    const source = new CriSource({ host, domain: 'test', socket, pollMs: 20 });
    await source.start(signal);
    assert.equal(source.status().error?.code, 'MALFORMED');
    // The good one says our own pid, which is in no cgroup of that name: the kernel does not confirm it.
    assert.deepEqual(
      source.snapshot().warnings.map(({ code, subject }) => [code, subject]),
      [['PROCESS_UNVERIFIED', 'good']],
    );
    await source.close();
  });
});

describe('a source whose other side is not there', () => {
  it('starts when it is closed, and says what is missing', async () => {
    const source = new CriSource({
      host,
      domain: 'test',
      socket: '/nowhere/cri.sock',
      retry: { leastMs: 5, mostMs: 5 },
    });
    const controller = new AbortController();
    const started = source.start(controller.signal);
    await waitFor('the failure', () => source.status().error !== undefined);
    assert.deepEqual([source.synced, source.status().error?.code], [false, 'UNREACHABLE']);
    assert.match(source.status().error?.hint ?? '', /running/);
    controller.abort();
    await started;
    await source.close();
    await source.close();
  });
});

describe('what a runtime says of a pod', () => {
  const sandbox = {
    id: 'a1b2c3d4e5f6a7b8',
    metadata: null,
    state: 'SANDBOX_READY',
    createdAt: 7e6,
    labels: {},
  } as const;
  const status = { pid: 1, addresses: ['10.0.0.2', 'FD00::2', 'nonsense'] };

  it('is enough also without the kubelet’s labels', () => {
    const [pod] = toCandidates({ sandbox, status, containers: [] }, () => undefined);
    assert.deepEqual(pod?.attributes.workload, { namespace: 'default', kind: 'Pod', name: 'a1b2c3d4e5f6' });
    assert.equal(pod?.startedAt, 7);
    assert.deepEqual(
      pod?.declared.map((one) => `${one.address}/${one.prefix}`),
      ['10.0.0.2/32', 'fd00::2/128'],
    );
  });

  it('makes no name that policies could not write', () => {
    const labels = { 'io.kubernetes.pod.namespace': 'shop', 'io.kubernetes.pod.name': 'a/b' };
    const [pod] = toCandidates({ sandbox: { ...sandbox, labels }, status, containers: [] }, () => undefined);
    assert.deepEqual(pod?.attributes.workload, { namespace: 'cri', kind: 'Pod', name: 'a1b2c3d4e5f6' });
  });
});
