/** The tag of a SYN-ACK whose socket has written none, byte for byte. */
import assert from 'node:assert/strict';
import { Incident } from '../../../src/datapath/layouts.gen.ts';
import { ethernet, ipv4 } from '../../rig/packets.ts';
import { parseTcp, tagOption } from '../../rig/tag.ts';
import { type TcpFields, tcp } from '../../rig/transports.ts';
import {
  HELD,
  HELD6,
  openLaboratory,
  PASSED,
  POLICY,
  type Segment,
  segment,
  settle,
  synIn,
  TAGGED,
  WEB,
  WEB6,
} from './elsewhere.ts';
import type { Laboratory } from './laboratory.ts';
import { KEYS, WINDOW } from './tag-reader.ts';

/** As Linux sends them: segment size, SACK, time stamps, scale. */
const USUAL = Buffer.from('020405b40402080a00000001000000020103030a', 'hex');

/** The endpoint's answer to `synIn`. */
const answer = (wanted: Segment = {}): Buffer =>
  segment({
    from: WEB,
    to: HELD,
    fromPort: 8080,
    toPort: 50000,
    flags: ['SYN', 'ACK'],
    sequence: 7000,
    acknowledged: 1001,
    ...wanted,
  });

/** The same with options of its own, in an IPv4 packet that may have some too. */
const dressed = (options: Buffer, header?: Buffer): Buffer => {
  const fields: TcpFields = { sourcePort: 8080, destinationPort: 50000, flags: ['SYN', 'ACK'], options };
  const transport = tcp({ ...fields, sequence: 7000, acknowledgement: 1001 });
  const ip = { source: WEB, destination: HELD, dontFragment: true };
  return ethernet({}, ipv4(header === undefined ? ip : { ...ip, options: header }, transport));
};

describe('a SYN-ACK without a tag', () => {
  let lab: Laboratory;
  let web: bigint;
  let api: bigint;
  let tag: Buffer;

  before(() => {
    lab = openLaboratory();
    [web, api] = ['web', 'api'].map((name) => lab.identity(name)) as [bigint, bigint];
    const common = { key: KEYS[1]!, epoch: 1, identity: web, window: WINDOW };
    tag = tagOption({ ...common, sequence: 7000, acknowledged: 1001 });
  });
  beforeEach(() => {
    lab.policy(POLICY);
    lab.forget();
    settle(lab);
  });
  after(() => lab.close());

  const open = (wanted: Segment = {}): void => assert.equal(lab.receives(synIn({ tag: api, ...wanted })).passed, true);
  const written = (): bigint => lab.incident(Incident.TagWritten);

  it('gets that of who let the tagged SYN in, with every length and checksum right', () => {
    open();
    const before = written();
    assert.deepEqual(lab.sends(answer()), { passed: true, answer: answer({ tag: web }) });
    assert.equal(written(), before + 1n);
    open({ from: HELD6, to: WEB6, sequence: 2000 });
    const there = { from: WEB6, to: HELD6 };
    assert.deepEqual(lab.sends(answer(there)), { passed: true, answer: answer({ ...there, tag: web }) });
  });

  it('gets the same when it is sent again', () => {
    open();
    for (let i = 0; i < 3; i++) assert.deepEqual(lab.sends(answer()), { passed: true, answer: answer({ tag: web }) });
  });

  it('gets it behind the options it has, up to the last byte there is room for', () => {
    open();
    for (const options of [USUAL, USUAL.subarray(0, 4), Buffer.alloc(20, 1)]) {
      const wanted = dressed(Buffer.concat([options, tag]));
      assert.deepEqual(lab.sends(dressed(options)), { passed: true, answer: wanted }, options.toString('hex'));
      assert.equal(parseTcp(wanted)?.tags.length, 1);
    }
    const before = lab.incident(Incident.TagNoRoom);
    assert.deepEqual(lab.sends(dressed(Buffer.concat([USUAL, Buffer.alloc(4, 1)]))), PASSED);
    assert.equal(lab.incident(Incident.TagNoRoom), before + 1n);
  });

  it('stays as it is where it bears one', () => {
    open();
    const before = written();
    assert.deepEqual(lab.sends(answer({ tag: web })), PASSED);
    assert.deepEqual(lab.sends(answer({ tag: api })), { passed: false, reason: 'TagForged' });
    assert.equal(written(), before);
  });

  it('stays as it is where the SYN bore none', () => {
    lab.verify({ remote: HELD, opened: 'ingress', identity: api });
    assert.equal(lab.receives(synIn()).passed, true);
    assert.deepEqual(lab.sends(answer()), PASSED);
    assert.equal(lab.receives(synIn({ from: TAGGED, toPort: 8081 })).passed, true, 'by address');
    assert.deepEqual(lab.sends(answer({ to: TAGGED, fromPort: 8081 })), PASSED);
  });

  it('stays as it is where it answers nothing', () => {
    open();
    const before = written();
    for (const other of [{ toPort: 50001 }, { fromPort: 8081 }]) lab.sends(answer(other));
    assert.equal(written(), before);
  });

  it('stays as it is with anything behind its header', () => {
    open();
    assert.deepEqual(lab.sends(answer({ payload: Buffer.from('early') })), PASSED);
    assert.deepEqual(lab.sends(Buffer.concat([answer(), Buffer.alloc(6)])), PASSED, 'padding of a short frame');
  });

  it('stays as it is while no tags are written', () => {
    open();
    lab.set({ tagWindow: 0 });
    assert.deepEqual(lab.sends(answer()), PASSED);
    settle(lab);
    lab.set({ tagEpoch: 2 });
    assert.deepEqual(lab.sends(answer()), PASSED, 'no key of that epoch');
  });

  it('is the only packet that is touched', () => {
    open();
    for (const flags of [['ACK'], ['ACK', 'PSH'], ['ACK', 'FIN'], ['RST', 'ACK']] as const) {
      assert.deepEqual(lab.sends(answer({ flags: [...flags] })), PASSED, flags.join());
    }
  });
});
