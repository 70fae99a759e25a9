import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type protobuf from 'protobufjs';

const load = createRequire(import.meta.url);

let envelope: protobuf.Type | undefined;

/** `Envelope` of protocol.proto. The library is loaded when the first message is made or read. */
export function envelopeType(): protobuf.Type {
  if (envelope !== undefined) return envelope;
  const { parse } = load('protobufjs') as typeof protobuf;
  const { root } = parse(readFileSync(new URL('./protocol.proto', import.meta.url), 'utf8'));
  envelope = root.lookupType('sallyport.handshake.v1.Envelope');
  return envelope;
}

/** 64 bits as the library has them. */
export interface Halves {
  readonly low: number;
  readonly high: number;
  readonly unsigned: boolean;
}

export function toHalves(value: bigint): Halves {
  return { low: Number(BigInt.asIntN(32, value)), high: Number(BigInt.asIntN(32, value >> 32n)), unsigned: true };
}

export function fromHalves(value: Halves): bigint {
  return (BigInt(value.high >>> 0) << 32n) | BigInt(value.low >>> 0);
}
