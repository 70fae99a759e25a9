/** Packets between an endpoint of this node and peers of others, for test runs: with tags, tokens and payload. */

import { DomainFlags } from '../../../src/datapath/layouts.gen.ts';
import { ethernet, ipv4, ipv6, type Transport } from '../../rig/packets.ts';
import { tagOption } from '../../rig/tag.ts';
import { type TcpFlag, tcp, udp } from '../../rig/transports.ts';
import { Laboratory } from './laboratory.ts';
import { clockOffsetOf, KEYS, WINDOW, WINDOW_SECONDS } from './tag-reader.ts';

export const WEB = '10.0.0.5';
export const WEB6 = 'fd00::5';
/** An agent speaks for it, and tags are written toward it. */
export const HELD = '10.9.0.6';
export const HELD6 = 'fd09::6';
/** Of the domain, with nobody to ask. */
export const TAGGED = '10.8.0.6';
/** An agent's NAT box: no tags are written toward it. */
export const BOX = '203.0.113.10';
export const WORLD = '192.0.2.7';
/** What a token begins with: `CLAIM_MAGIC` of bpf/api/peer.h. */
export const CLAIM_MAGIC = 0x5a11f0a7c1a1d0e5n;
export const HOLD_MARK = 0x1000;
export const ANSWER_MARK = 0x2000;

/** What becomes of a packet: `Laboratory.sends` and `receives`. */
export const PASSED = { passed: true };
export const HELD_BACK = { passed: true, mark: HOLD_MARK };
export const UNVERIFIED = { passed: false, reason: 'Unverified' };

export interface Ends {
  readonly from?: string;
  readonly to?: string;
  readonly fromPort?: number;
  readonly toPort?: number;
}

export interface Segment extends Ends {
  readonly flags?: readonly TcpFlag[];
  readonly sequence?: number;
  readonly acknowledged?: number;
  /** Bears a tag of this identity, as a node that has the key makes it. */
  readonly tag?: bigint;
  /** Of the tag, where it is not as it should be. */
  readonly epoch?: number;
  readonly window?: number;
  readonly spoilt?: boolean;
  readonly payload?: Buffer;
}

const between = ({ from = WEB, to = HELD }: Ends, transport: Transport): Buffer =>
  from.includes(':')
    ? ethernet({}, ipv6({ source: from, destination: to }, transport))
    : ethernet({}, ipv4({ source: from, destination: to, dontFragment: true }, transport));

/** A TCP packet; a SYN of the endpoint's unless told otherwise. */
export function segment(wanted: Segment = {}): Buffer {
  const { flags = ['SYN'], sequence = 1000, acknowledged = 0, tag, epoch = 1, window = WINDOW } = wanted;
  const answer = flags.includes('ACK');
  const options =
    tag === undefined
      ? undefined
      : tagOption({
          key: KEYS[epoch]!,
          epoch,
          identity: tag,
          window,
          sequence,
          ...(answer ? { acknowledged } : {}),
        });
  if (wanted.spoilt && options !== undefined) options[19]! ^= 1;
  return between(
    wanted,
    tcp(
      {
        sourcePort: wanted.fromPort ?? 40000,
        destinationPort: wanted.toPort ?? 80,
        flags,
        sequence,
        acknowledgement: acknowledged,
        ...(options === undefined ? {} : { options }),
      },
      wanted.payload,
    ),
  );
}

/** What answers a SYN of `segment`. */
export function synAck(wanted: Segment = {}): Buffer {
  return segment({
    from: HELD,
    to: WEB,
    fromPort: 80,
    toPort: 40000,
    flags: ['SYN', 'ACK'],
    sequence: 7000,
    acknowledged: 1001,
    ...wanted,
  });
}

/** A SYN toward the endpoint. */
export function synIn(wanted: Segment = {}): Buffer {
  return segment({ from: HELD, to: WEB, fromPort: 50000, toPort: 8080, ...wanted });
}

export function datagram(ends: Ends = {}, payload: Buffer = Buffer.alloc(16)): Buffer {
  return between(ends, udp({ sourcePort: ends.fromPort ?? 5000, destinationPort: ends.toPort ?? 53 }, payload));
}

export const POLICY = `---
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  subject: {workload: Service/web}
  egress:
    - {name: to-api, to: [{workload: Service/api}], ports: [{protocol: TCP, port: 80}, {protocol: UDP, port: 53}, {protocol: ICMP}]}
    - {name: to-far, to: [{cidr: 10.8.0.0/16}], ports: [{protocol: TCP, port: 81}, {protocol: UDP, port: 54}]}
  ingress:
    - {name: from-api, from: [{workload: Service/api}], ports: [{protocol: TCP, port: 8080}, {protocol: UDP, port: 5353}]}
    - {name: from-far, from: [{cidr: 10.8.0.0/16}], ports: [{protocol: TCP, port: 8081}]}
`;

/** A node with `web`, and `api` and `db` elsewhere. */
export function openLaboratory(): Laboratory {
  const lab = new Laboratory([
    { workload: 'shop/Service/web', addresses: [WEB, WEB6] },
    { workload: 'shop/Service/api', addresses: [] },
    { workload: 'shop/Service/db', addresses: [] },
  ]);
  lab.domain('10.9.0.0', 16, DomainFlags.Tag | DomainFlags.Hold);
  lab.domain('10.8.0.0', 16, DomainFlags.Tag);
  lab.domain(BOX, 32, DomainFlags.Hold);
  lab.programs.tables.domains.set(
    { prefix: 16, network: { bytes: Uint8Array.from([0xfd, 0x09, ...new Array<number>(14).fill(0)]) } },
    { flags: DomainFlags.Tag | DomainFlags.Hold },
  );
  const halves = [KEYS[1]!.readBigUInt64LE(0), KEYS[1]!.readBigUInt64LE(8)];
  lab.programs.tables.tag_keys.set(1, { halves, epoch: 1, valid: 1 });
  return lab;
}

/** Tags are on under the keys of epoch 1, packets can be held, refused ones are not answered. */
export function settle(lab: Laboratory): void {
  lab.set({
    tagWindow: WINDOW_SECONDS,
    tagEpoch: 1,
    clockOffset: clockOffsetOf(WINDOW),
    holdMark: HOLD_MARK,
    answerMark: ANSWER_MARK,
    holdRate: 1000,
    refusal: 0,
    holdOpen: 0,
  });
}
