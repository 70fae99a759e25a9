/** What refused packets are answered with, byte for byte; that real sockets understand it is in answers-live.test.ts. */
import assert from 'node:assert/strict';
import { Refusal } from '../../../src/datapath/layouts.gen.ts';
import { ethernet, fragments, ipv4, ipv6, optionsHeader, Protocol } from '../../rig/packets.ts';
import { run } from '../../rig/process.ts';
import { tcp, udp } from '../../rig/transports.ts';
import {
  ANSWER_MARK,
  datagram,
  HELD,
  HELD6,
  openLaboratory,
  POLICY,
  segment,
  settle,
  synAck,
  synIn,
  WEB,
  WEB6,
  WORLD,
} from './elsewhere.ts';
import type { Laboratory } from './laboratory.ts';

const MAC = { source: '02:00:00:00:00:0a', destination: '02:00:00:00:00:0b' };

/** What tcpdump, which is not ours, reads in a frame. */
async function decode(frame: Buffer): Promise<string> {
  const file = Buffer.alloc(40);
  file.writeUInt32LE(0xa1b2c3d4, 0);
  file.writeUInt16LE(2, 4);
  file.writeUInt16LE(4, 6);
  file.writeUInt32LE(65535, 16);
  file.writeUInt32LE(1, 20);
  file.writeUInt32LE(frame.length, 32);
  file.writeUInt32LE(frame.length, 36);
  const text = await run(['tcpdump', '-nn', '-vvv', '-S', '-e', '-t', '-r', '-'], {
    input: Buffer.concat([file, frame]),
  });
  assert.doesNotMatch(text, /bad cksum|incorrect|wrong/);
  return text;
}

describe('refused packets', () => {
  let lab: Laboratory;
  let web: bigint;
  let api: bigint;
  let db: bigint;

  before(() => {
    lab = openLaboratory();
    [web, api, db] = ['web', 'api', 'db'].map((name) => lab.identity(name)) as [bigint, bigint, bigint];
  });
  beforeEach(() => {
    lab.policy(POLICY);
    lab.forget();
    settle(lab);
    lab.set({ refusal: Refusal.Reset });
    lab.verify({ remote: HELD, opened: 'egress', identity: api });
  });
  after(() => lab.close());

  it('of the endpoint are reset in the name of who was addressed', async () => {
    const { answer, mark, reason } = lab.sends(segment({ toPort: 99, sequence: 0xfffffffe }));
    assert.ok(answer !== undefined);
    assert.equal(reason, 'Policy');
    assert.equal(mark, ANSWER_MARK);
    const text = await decode(answer);
    assert.match(
      text,
      /10\.9\.0\.6\.99 > 10\.0\.0\.5\.40000: Flags \[R\.\], cksum \w+ \(correct\), seq 0, ack 4294967295, win 0, length 0/,
    );
    assert.equal(answer.length, 54);
    lab.verify({ remote: HELD6, opened: 'egress', identity: api });
    const six = lab.sends(segment({ from: WEB6, to: HELD6, toPort: 99 })).answer;
    assert.match(
      await decode(six!),
      /fd09::6\.99 > fd00::5\.40000: Flags \[R\.\], cksum \w+ \(correct\), seq 0, ack 1001/,
    );
  });

  it('to the endpoint are reset in its name', async () => {
    const { answer, mark } = lab.receives(synIn({ tag: db, sequence: 77 }));
    assert.equal(mark, ANSWER_MARK);
    assert.match(
      await decode(answer!),
      /10\.0\.0\.5\.8080 > 10\.9\.0\.6\.50000: Flags \[R\.\], cksum \w+ \(correct\), seq 0, ack 78/,
    );
    assert.deepEqual(lab.flows(), []);
  });

  it('turn the link round with the packet', async () => {
    const frame = ethernet(MAC, ipv4({ source: WEB, destination: HELD }, tcp({ destinationPort: 99, flags: ['SYN'] })));
    assert.match(await decode(lab.sends(frame).answer!), /^02:00:00:00:00:0b > 02:00:00:00:00:0a,/);
  });

  it('that would be an answer end the connection at both ends', async () => {
    lab.programs.tables.verified.deleteAll([...lab.programs.tables.verified.keys()]);
    assert.equal(lab.sends(segment({ tag: web })).passed, true);
    const { passed, answer, mark, reason } = lab.receives(synAck({ tag: db }));
    assert.deepEqual({ passed, mark, reason }, { passed: true, mark: undefined, reason: 'Policy' });
    assert.match(
      await decode(answer!),
      /10\.9\.0\.6\.80 > 10\.0\.0\.5\.40000: Flags \[R\.\], cksum \w+ \(correct\), seq 7000, ack 1001/,
    );
  });

  it('are reset only where that ends something', () => {
    for (const frame of [
      datagram({ toPort: 99 }),
      segment({ toPort: 99, flags: ['ACK'] }),
      segment({ toPort: 99, flags: ['RST'] }),
      segment({ toPort: 99, flags: ['SYN', 'ACK'] }),
    ]) {
      const outcome = lab.sends(frame);
      assert.deepEqual([outcome.passed, outcome.answer], [false, undefined]);
    }
  });

  it('are told as prohibited instead, where that is wanted', async () => {
    lab.set({ refusal: Refusal.Icmp });
    for (const [frame, expected] of [
      [
        segment({ toPort: 99 }),
        /10\.9\.0\.6 > 10\.0\.0\.5: ICMP host 10\.9\.0\.6 unreachable - admin prohibited.*\n.*10\.0\.0\.5\.40000 > 10\.9\.0\.6\.99/s,
      ],
      [
        datagram({ toPort: 99 }, Buffer.alloc(1200)),
        /10\.9\.0\.6 > 10\.0\.0\.5: ICMP host 10\.9\.0\.6 unreachable - admin prohibited/s,
      ],
      [datagram({ toPort: 99 }, Buffer.alloc(0)), /unreachable - admin prohibited/],
    ] as const) {
      assert.match(await decode(lab.sends(frame).answer!), expected);
    }
    assert.match(
      await decode(lab.receives(synIn({ tag: db })).answer!),
      /10\.0\.0\.5 > 10\.9\.0\.6: ICMP host 10\.0\.0\.5 unreachable - admin prohibited/,
    );
    lab.verify({ remote: HELD6, opened: 'egress', identity: api });
    for (const frame of [
      datagram({ from: WEB6, to: HELD6, toPort: 99 }),
      segment({ from: WEB6, to: HELD6, toPort: 99 }),
    ]) {
      assert.match(
        await decode(lab.sends(frame).answer!),
        /\[icmp6 sum ok\] ICMP6, destination unreachable, +unreachable prohibited/,
      );
    }
  });

  it('to or from somebody unknown are not answered', () => {
    for (const refusal of [Refusal.Reset, Refusal.Icmp]) {
      lab.set({ refusal });
      for (const outcome of [
        lab.sends(segment({ to: WORLD })),
        lab.sends(datagram({ to: WORLD })),
        lab.receives(synIn({ from: WORLD })),
        lab.receives(synIn({})),
        lab.receives(synIn({ tag: api, spoilt: true })),
        lab.receives(synIn({ tag: 0x99n })),
        lab.receives(datagram({ from: WORLD, to: WEB })),
        lab.sends(segment({ to: '10.9.0.200', toPort: 99, tag: web })),
      ]) {
        assert.deepEqual([outcome.passed, outcome.answer], [false, undefined]);
      }
    }
  });

  it('that were sent to many, in pieces, or by a way that would have to be turned are not answered', () => {
    lab.set({ refusal: Refusal.Icmp });
    const whole = udp({ sourcePort: 5000, destinationPort: 99 }, Buffer.alloc(64));
    const [first] = fragments(ipv4({ source: WEB, destination: HELD }, whole), 48);
    lab.verify({ remote: HELD6, opened: 'egress', identity: api });
    for (const frame of [
      ethernet({ destination: 'ff:ff:ff:ff:ff:ff' }, ipv4({ source: WEB, destination: HELD }, whole)),
      ethernet({}, first!),
      ethernet({}, ipv4({ source: WEB, destination: HELD, options: Buffer.from([7, 3, 4]) }, whole)),
      ethernet(
        {},
        ipv6({ source: WEB6, destination: HELD6, extensions: [optionsHeader(Protocol.Destination)] }, whole),
      ),
    ]) {
      const outcome = lab.sends(frame);
      assert.deepEqual([outcome.passed, outcome.reason, outcome.answer], [false, 'Policy', undefined]);
    }
  });

  it('are dropped in silence unless something else is wanted', () => {
    for (const some of [{ refusal: Refusal.Silence }, { answerMark: 0 }]) {
      lab.set({ refusal: Refusal.Reset, answerMark: ANSWER_MARK, ...some });
      assert.equal(lab.sends(segment({ toPort: 99 })).answer, undefined);
    }
  });

  it('of a peer on this node are answered as well', async () => {
    lab.own('10.0.0.9', { endpoint: 3, slot: 18, flags: 0 });
    assert.match(
      await decode(lab.sends(segment({ to: '10.0.0.9' })).answer!),
      /10\.0\.0\.9\.80 > 10\.0\.0\.5\.40000: Flags \[R\.\]/,
    );
    assert.match(
      await decode(lab.receives(synIn({ from: '10.0.0.9' })).answer!),
      /10\.0\.0\.5\.8080 > 10\.0\.0\.9\.50000: Flags \[R\.\]/,
    );
  });
});
