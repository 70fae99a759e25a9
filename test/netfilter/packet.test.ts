import assert from 'node:assert/strict';
import { ERROR_TABLE } from '../../src/netfilter/error-table.ts';
import { NetfilterError, systemError } from '../../src/netfilter/errors.ts';
import { addressText, checkPacket } from '../../src/netfilter/packet.ts';
import { ipv4, ipv6, optionsHeader } from '../rig/packets.ts';
import { udp } from '../rig/transports.ts';
import { addressBytes } from '../rig/wire.ts';

describe('An address', () => {
  it('reads as RFC 5952 has it', () => {
    for (const text of [
      '0.0.0.0',
      '203.0.113.255',
      '::',
      '::1',
      '1::',
      '2001:db8::1',
      '2001:db8:0:1:1:1:1:1',
      '2001:0:0:1::1',
      '2001:db8::1:0:0:1',
      'fe80::1:2:3:4',
      '1:2:3:4:5:6:7:8',
    ]) {
      assert.equal(addressText(addressBytes(text)), text);
    }
  });
});

describe('A packet', () => {
  const four = ipv4({ source: '10.0.0.1', destination: '10.0.0.2' }, udp({}, Buffer.alloc(10))).bytes;
  const six = ipv6({ source: '::1', destination: '::2', extensions: [optionsHeader(0)] }, udp({})).bytes;
  const options = ipv4({ source: '10.0.0.1', destination: '10.0.0.2', options: Buffer.alloc(40) }, udp({})).bytes;

  it('is one when its header agrees with its length', () => {
    for (const packet of [four, six, options, new Uint8Array(four)]) checkPacket(packet, 'try');
  });

  it('is none when anything is cut, added or claimed', () => {
    const changed = (packet: Buffer, at: number, value: number): Buffer => {
      const copy = Buffer.from(packet);
      copy[at] = value;
      return copy;
    };
    const wrong = [
      ...[four, six].flatMap((packet) => [packet.subarray(1), packet.subarray(0, -1), Buffer.concat([packet, packet])]),
      changed(four, 0, 0x44),
      changed(four.subarray(0, 28), 0, 0x4f),
      changed(four, 0, 0x65),
      changed(four, 3, 0),
      changed(six, 0, 0x45),
      changed(six, 5, 0),
      Buffer.alloc(20),
      Buffer.alloc(0),
    ];
    for (const [i, packet] of wrong.entries()) {
      assert.throws(() => checkPacket(packet, 'try'), { name: 'NetfilterError', code: 'ARGUMENT' }, `case ${i}`);
    }
  });
});

describe('An error of the binding', () => {
  it('says what was attempted, why not, and what to do', () => {
    const error = systemError('SEND', -90, 'send a packet');
    assert.ok(error instanceof NetfilterError);
    assert.equal(error.message, 'Cannot send a packet: message too long (EMSGSIZE)');
    assert.deepEqual([error.code, error.errno, error.exitCode], ['TOO_LARGE', 'EMSGSIZE', 71]);
    const refused = systemError('QUEUE', -1, 'open queue 5');
    assert.deepEqual([refused.code, refused.hint], ['PERMISSION', ERROR_TABLE.PERMISSION.hint]);
    assert.equal(systemError('SEND', -1, 'send a packet').code, 'SEND', 'a firewall, not a lack of rights');
    assert.equal(
      systemError('QUEUE', -4242, 'open queue 5').message,
      'Cannot open queue 5: a queue could not be opened or read (errno 4242)',
    );
  });
});
