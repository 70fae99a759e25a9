/** What is known of IP packets here: whether bytes are one, and how addresses read. */
import { argumentError } from './errors.ts';

const IPV4_HEADER = 20;
const IPV6_HEADER = 40;

/** Throws ARGUMENT unless these bytes are one whole IP packet, by its own header. */
export function checkPacket(packet: Uint8Array, attempted: string): void {
  const reason = whyNotPacket(packet);
  if (reason !== undefined) throw argumentError(attempted, reason);
}

function whyNotPacket(packet: Uint8Array): string | undefined {
  if (!(packet instanceof Uint8Array)) return `a packet is wanted as Uint8Array, not ${typeof packet}`;
  if (packet.length < IPV4_HEADER) return `${packet.length} bytes hold no IP header`;
  const version = packet[0]! >> 4;
  if (version === 4) {
    const header = (packet[0]! & 15) * 4;
    const total = (packet[2]! << 8) | packet[3]!;
    if (header < IPV4_HEADER || header > packet.length) return `its header claims ${header} bytes`;
    return total === packet.length ? undefined : `its header claims ${total} bytes, there are ${packet.length}`;
  }
  if (version === 6) {
    if (packet.length < IPV6_HEADER) return `${packet.length} bytes hold no IPv6 header`;
    const total = IPV6_HEADER + ((packet[4]! << 8) | packet[5]!);
    return total === packet.length ? undefined : `its header claims ${total} bytes, there are ${packet.length}`;
  }
  return `IP version ${version} is unknown`;
}

/** `10.1.2.3`, or IPv6 as RFC 5952 has it. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  if (best.start < 0) return text(groups);
  return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`;
}
