// Loaded here, because they make globals, and mocha would blame the test that first loads them.
import 'reflect-metadata';
import '@peculiar/x509';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Enrolment, renewalIn } from '../../src/agent/kubernetes/enrolment.ts';
import { KubernetesError } from '../../src/sources/kubernetes/error.ts';
import type { LooseObject } from '../../src/sources/kubernetes/resource.ts';
import { type Authority, createAuthority, signCertificate } from '../../src/trust/authority.ts';
import { loadCredentials } from '../../src/trust/credentials.ts';
import { readRequest } from '../../src/trust/read-request.ts';
import { makeRequest } from '../../src/trust/request.ts';
import { waitFor } from '../rig/cleanup.ts';

const HOUR = 3_600_000;
const OWNER = { domain: 'cluster.local', node: 'node1' };

describe('when an agent’s certificate is renewed', () => {
  const life = { notBefore: 0, notAfter: 24 * HOUR };

  it('is when two thirds of its life are over, or up to a tenth of it before', () => {
    assert.equal(renewalIn(life, 0, 0), 16 * HOUR);
    assert.equal(renewalIn(life, 0, 16 * HOUR), 0);
    assert.ok(renewalIn(life, 0, 17 * HOUR) < 0);
    for (const chance of [0.01, 0.5, 0.999]) {
      const at = renewalIn(life, chance, 0);
      assert.ok(at < 16 * HOUR && at > 13.5 * HOUR, `${at / HOUR} hours`);
    }
  });
});

describe('an agent that asks for its certificate', () => {
  let directory: string;
  let authority: Authority;
  const ending: (() => Promise<void>)[] = [];

  before(async () => {
    authority = await createAuthority({ domain: 'cluster.local', years: 1 });
  });
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sallyport-test-enrolment-'));
    believe(authority);
  });
  afterEach(async () => {
    for (const end of ending.splice(0)) await end();
    rmSync(directory, { recursive: true });
  });

  const file = (name: string): string => join(directory, name);
  const files = () => ({ certificate: file('tls/agent.crt'), key: file('tls/agent.key'), authority: file('ca.crt') });
  const believe = (...all: readonly Authority[]) =>
    writeFileSync(file('ca.crt'), all.map(({ certificate }) => certificate).join(''), { mode: 0o644 });
  const good = () => loadCredentials(files(), OWNER);
  const isGood = (): boolean => {
    try {
      return good().node === OWNER.node;
    } catch {
      return false;
    }
  };

  /** A manager and its API server. */
  class Office {
    readonly requests = new Map<string, LooseObject>();
    answers = true;
    up = true;
    lifetimeMs = 24 * HOUR;
    signer = authority;
    denies: { reason: string; message: string } | undefined;
    /** Signs whatever key this is, instead of the one that asks. */
    otherKey: Uint8Array | undefined;

    async create(_resource: unknown, object: LooseObject): Promise<LooseObject> {
      if (!this.up) throw new KubernetesError('UNREACHABLE', 'Cannot ask: it is down');
      this.requests.set(object.metadata.name, object);
      return object;
    }

    async get(_resource: unknown, { name }: { name: string }): Promise<LooseObject> {
      if (!this.up) throw new KubernetesError('UNREACHABLE', 'Cannot ask: it is down');
      const known = this.requests.get(name);
      if (known === undefined) throw new KubernetesError('NOT_FOUND', 'Cannot ask: there is none');
      if (!this.answers) return known;
      if (this.denies !== undefined) return { ...known, status: { conditions: [{ type: 'Denied', ...this.denies }] } };
      const { request } = known.spec as { request: string };
      const { publicKey } = await readRequest(Buffer.from(request, 'base64').toString());
      const { lifetimeMs, otherKey = publicKey } = this;
      const signing = { ...OWNER, publicKey: otherKey, lifetimeMs, now: Date.now() };
      const certificate = await signCertificate(this.signer, signing);
      return { ...known, status: { certificate: Buffer.from(certificate).toString('base64') } };
    }
  }

  function start(office: Office, told = 60_000) {
    const stop = new AbortController();
    const problems: string[] = [];
    const enrolment = new Enrolment({
      client: office as never,
      ...OWNER,
      signer: 'sallyport.dev/agent',
      files: files(),
      now: Date.now,
      random: () => 0,
      onProblem: (error) => problems.push(error.message),
      timing: { look: 20, poll: { leastMs: 5, mostMs: 20 }, retry: { leastMs: 20, mostMs: 40 }, told },
    });
    enrolment.start(stop.signal);
    ending.push(async () => {
      stop.abort();
      await enrolment.ended();
    });
    return { enrolment, problems, stop: ending.at(-1)! };
  }

  it('has one that is its own, with a key that only its owner reads', async () => {
    const office = new Office();
    const { enrolment } = start(office);
    await waitFor('a certificate', async () => isGood());
    assert.equal(statSync(files().key).mode & 0o777, 0o600);
    assert.equal(statSync(file('tls')).mode & 0o777, 0o700);
    assert.equal(office.requests.size, 1);
    const [request] = office.requests.values();
    const { request: sent, ...spec } = request!.spec as Record<string, unknown>;
    assert.deepEqual(spec, {
      signerName: 'sallyport.dev/agent',
      usages: ['digital signature', 'client auth', 'server auth'],
    });
    assert.match(request!.metadata.name, /^sallyport-node1-[0-9a-f]{16}$/);
    assert.doesNotMatch(Buffer.from(String(sent), 'base64').toString(), /PRIVATE/);
    await waitFor('nothing is wrong', async () => enrolment.problem === undefined);
  });

  it('keeps it over a restart, and asks nobody', async () => {
    const office = new Office();
    const { stop } = start(office);
    await waitFor('a certificate', async () => isGood());
    const { serial } = good();
    await stop();
    const idle = new Office();
    idle.up = false;
    const { enrolment } = start(idle);
    await waitFor('it was looked at', async () => enrolment.problem === undefined);
    assert.equal(good().serial, serial);
    assert.equal(idle.requests.size, 0);
  });

  it('renews it, with another key, without a moment without', async () => {
    const office = new Office();
    // Two thirds of its life are over when it is made: it is backdated.
    office.lifetimeMs = 60_000;
    start(office);
    await waitFor('a certificate', async () => isGood());
    const { key } = good();
    await waitFor('another one', async () => isGood() && good().key !== key);
    office.lifetimeMs = 24 * HOUR;
  });

  it('waits for a manager that is away, with one request, and says so', async () => {
    const office = new Office();
    office.answers = false;
    const { enrolment } = start(office);
    await waitFor('it says so', async () =>
      /^The certificate request sallyport-node1-\S+ waits/.test(enrolment.problem ?? ''),
    );
    assert.equal(office.requests.size, 1);
    office.answers = true;
    await waitFor('a certificate', async () => isGood());
    assert.equal(office.requests.size, 1);
  });

  it('tells why it was denied, and asks again', async () => {
    const office = new Office();
    office.denies = { reason: 'WrongNode', message: 'for node "node1", asked for by a pod of node node2' };
    const { problems } = start(office);
    await waitFor('it is asked again', async () => office.requests.size > 1);
    assert.match(problems.join('\n'), /denied the certificate of this node .*WrongNode: for node "node1"/);
    office.denies = undefined;
    await waitFor('a certificate', async () => isGood());
  });

  it('asks again when its request was deleted, and when the server comes back', async () => {
    const office = new Office();
    office.answers = false;
    start(office);
    await waitFor('a request', async () => office.requests.size === 1);
    office.requests.clear();
    await waitFor('another', async () => office.requests.size === 1);
    office.up = false;
    office.answers = true;
    office.up = true;
    await waitFor('a certificate', async () => isGood());
  });

  it('does not use a certificate for a key that is not its own, and keeps the one it has', async () => {
    const office = new Office();
    const stranger = await readRequest(makeRequest('cluster.local', 'node1').request);
    office.otherKey = stranger.publicKey;
    const { problems } = start(office);
    await waitFor('it says so', async () => problems.some((one) => /no certificate for its key/.test(one)));
    assert.throws(() => readFileSync(files().key), /ENOENT/);
  });

  it('asks anew when the authority is another, and not over and over before it hears of it', async () => {
    const office = new Office();
    start(office);
    await waitFor('a certificate', async () => isGood());
    const other = await createAuthority({ domain: 'cluster.local', years: 1 });
    const third = await createAuthority({ domain: 'cluster.local', years: 1 });
    office.signer = third;
    const before = office.requests.size;
    believe(other);
    // The agent has just been given one: it waits for the authority to be told, as long as that may take.
    await waitFor('nothing is good', async () => !isGood());
    believe(other, third);
    const { stop } = { stop: ending.at(-1)! };
    await stop();
    const { enrolment } = start(office);
    await waitFor('a certificate of the third', async () => isGood());
    assert.equal(office.requests.size, before + 1);
    await waitFor('nothing is wrong', async () => enrolment.problem === undefined);
  });

  it('asks again after a while where it never hears of the authority', async () => {
    const office = new Office();
    office.signer = await createAuthority({ domain: 'cluster.local', years: 1 });
    const { problems } = start(office, 30);
    await waitFor('it asks again', async () => office.requests.size > 1);
    assert.match(problems.join('\n'), /none in .*ca\.crt has signed it/);
  });
});
