import 'reflect-metadata';
import '@peculiar/x509';
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { Bodies, Turns } from '../../src/manager/webhook/callers.ts';
import { bundleOf, makeTrust, type WebhookTrust } from '../../src/manager/webhook/certificate.ts';
import { WebhookServer } from '../../src/manager/webhook/server.ts';

describe('bodies that wait', () => {
  it('are those of everybody but whoever has most, where there is no room', () => {
    const bodies = new Bodies(100);
    const server = bodies.begin('server');
    assert.ok(bodies.add(server, Buffer.alloc(30)));
    const [long, short] = [bodies.begin('pod'), bodies.begin('pod')];
    assert.ok(bodies.add(short, Buffer.alloc(20)));
    assert.ok(bodies.add(long, Buffer.alloc(45)));
    // The pod's go, whoever brings what is too much.
    assert.ok(bodies.add(server, Buffer.alloc(20)));
    assert.equal(bodies.whole(long), undefined);
    assert.equal(bodies.whole(short)?.length, 20);
    assert.equal(bodies.whole(server)?.length, 50);
    assert.equal(bodies.bytes, 70);
    assert.equal(bodies.add(long, Buffer.alloc(1)), false);
    assert.equal(bodies.add(short, Buffer.alloc(40)), false);
    for (const body of [long, short, server, server]) bodies.end(body);
    assert.equal(bodies.bytes, 0);
  });
});

describe('turns', () => {
  it('are first whose who has spent least lately', async () => {
    let now = 0;
    const turns = new Turns(() => now);
    const order: string[] = [];
    const ask = (address: string, cost: number): Promise<void> =>
      turns.take(address, () => {
        order.push(address);
        now += cost;
      });
    await Promise.all([...Array(4).fill('pod'), 'server', 'other', 'server'].map((who) => ask(who, 1_000)));
    // What was spent before others had their turn counts for less.
    assert.deepEqual(order, ['pod', 'server', 'other', 'pod', 'server', 'pod', 'pod']);
    order.length = 0;
    // What was spent long ago is forgotten, however much it was.
    now += 1_000_000;
    await ask('third', 5);
    await Promise.all(['third', 'pod', 'server'].map((who) => ask(who, 1)));
    assert.deepEqual(order.slice(1), ['pod', 'server', 'third']);
  });

  it('go on after one that failed', async () => {
    const turns = new Turns(() => 0);
    const failed = turns.take('a', () => {
      throw new Error('no');
    });
    const next = turns.take('a', () => 'yes');
    await assert.rejects(failed, /no/);
    assert.equal(await next, 'yes');
  });
});

describe('a pod that wants the webhook for itself', () => {
  const [SERVER, POD] = ['127.0.0.1', '127.0.0.2'];
  const refused: string[] = [];
  const faults: unknown[] = [];
  const heard = new EventEmitter();
  let server: WebhookServer;
  let trust: WebhookTrust;
  let port: number;
  const question = JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: { uid: 'u', kind: { group: '', version: 'v1', kind: 'Pod' }, operation: 'CREATE', object: null },
  });

  beforeEach(async () => {
    server = new WebhookServer({
      host: '127.0.0.1',
      port: 0,
      present: () => ({ policies: [], identities: undefined }),
      onAnswer: () => {},
      onRefused: (why) => {
        refused.push(why);
        heard.emit('told');
      },
      onFault: (fault) => {
        faults.push(fault);
        heard.emit('told');
      },
      connectionsMost: 4,
      bytesMost: 1 << 20,
    });
    trust = await makeTrust({ days: 1, names: ['x'], addresses: ['127.0.0.1'] }, Date.now());
    server.show(trust.certificate, trust.key);
    port = await server.listen();
    refused.length = faults.length = 0;
  });
  afterEach(() => server.close());

  const open = (localAddress: string) =>
    request({
      host: '127.0.0.1',
      port,
      localAddress,
      path: '/validate',
      method: 'POST',
      ca: bundleOf(trust),
      agent: false,
      headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' },
    });
  const statusOf = async (asked: ReturnType<typeof open>): Promise<number> => {
    const [response] = (await once(asked, 'response')) as [{ statusCode: number; resume: () => void }];
    response.resume();
    return response.statusCode;
  };

  it('keeps himself out by connections, and not a question that has begun', async () => {
    const slow = open(SERVER);
    slow.write(question.slice(0, 5));
    const [socket] = (await once(slow, 'socket')) as [Socket];
    await once(socket, 'secureConnect');
    const many: Socket[] = [];
    const closed: Promise<unknown>[] = [];
    for (let i = 0; i < 12; i++) {
      const one = connect({ host: '127.0.0.1', port, localAddress: POD });
      one.on('error', () => {}).resume();
      closed.push(once(one, 'close'));
      many.push(one);
      await once(one, 'connect');
    }
    // Three beside ours remain.
    await Promise.all(closed.slice(0, 9));
    const another = open(SERVER);
    another.end(question);
    assert.equal(await statusOf(another), 200);
    slow.end(question.slice(5));
    assert.equal(await statusOf(slow), 200);
    for (const one of many) one.destroy();
    assert.deepEqual(faults, []);
  });

  it('keeps himself out by bytes', async () => {
    const slow = open(SERVER);
    slow.write(question.slice(0, 5));
    const greedy = open(POD);
    greedy.on('error', () => {});
    greedy.write(Buffer.alloc(1 << 20, 32));
    greedy.write(Buffer.alloc(1 << 10, 32));
    assert.equal(await statusOf(greedy), 503);
    slow.end(question.slice(5));
    assert.equal(await statusOf(slow), 200);
    assert.deepEqual(refused, ['busy']);
  });

  it('is no fault to be told of where he hangs up in the middle', async () => {
    const rude = open(POD);
    rude.on('error', () => {});
    rude.write(question.slice(0, 5));
    const [socket] = (await once(rude, 'socket')) as [Socket];
    await once(socket, 'secureConnect');
    // The server has its beginning by the time it answers somebody who came later.
    const later = open(SERVER);
    later.end(question);
    assert.equal(await statusOf(later), 200);
    const told = once(heard, 'told');
    rude.destroy();
    await told;
    assert.deepEqual([refused, faults], [['gone'], []]);
  });
});
