import type { HandshakeRecord } from '../../src/handshake/port.ts';

/** A record, unlike any other by its number. */
export function record(number: number, change: Partial<HandshakeRecord> = {}): HandshakeRecord {
  return {
    handshake: number.toString(16).padStart(16, '0'),
    time: 1_000_000 + number,
    end: 'source',
    result: 'verified',
    step: 'arrived',
    reason: '',
    rule: 'shop/web.egress[0]',
    source: { node: 'n1', identity: 0xfedc_ba98_7654_3210n, workload: 'shop/Service/web' },
    destination: { node: 'n2', identity: 0x0123_4567_89ab_cdefn, workload: 'shop/Service/api' },
    conversation: {
      protocol: 17,
      source: { address: '10.1.0.2', port: 4000 },
      destination: { address: 'fd00::3', port: 53 },
    },
    duration: 1.5,
    ...change,
  };
}
