import * as z from 'zod';
import { parseAddress, parseNetwork } from '../model/address.ts';
import { count, duration, flag, HOST_PORT, path } from './config-types.ts';

/** Settings of what goes on between nodes; docs/protocol.md says what they mean for the protocol. */

const cidr = z.string().refine((text) => 'prefix' in parseNetwork(text), 'wanted a CIDR, as 10.1.0.0/16 or fd00::/64');
const address = z.string().refine((text) => parseAddress(text) !== undefined, 'wanted an IP address');
const pathOrOff = (standard: string) =>
  z
    .string()
    .max(4096)
    .refine((text) => text === 'off' || text.startsWith('/'), 'wanted an absolute path or "off"')
    .default(standard);

const peerAgent = z.strictObject({
  name: z.string().min(1).max(253).describe('Its node name, as in its certificate'),
  address: z
    .string()
    .refine((text) => text === '' || HOST_PORT.test(text), 'wanted host:port or [ipv6]:port; nothing where it dials us')
    .default(''),
  cidrs: z.array(cidr).max(256).default([]),
  workloads: z.array(z.string().max(700)).max(256).default(['*/*/*']),
  direct: z.boolean().default(false),
});

export const network = z
  .strictObject({
    prefixes: z.array(cidr).max(1_024).default([]).describe('The domain: CIDRs toward which TCP is tagged'),
    publicAddresses: z
      .array(address)
      .max(256)
      .default([])
      .describe('Addresses that NAT boxes rewrite to endpoints of this node'),
    refusal: z
      .enum(['reset', 'icmp', 'silence'])
      .default('reset')
      .describe('How a refused packet of a known peer is answered. reset: TCP only'),
  })
  .prefault({});

export const tags = z
  .strictObject({
    keys: pathOrOff('/etc/sallyport/tag-keys.json').describe(
      'Key file of the domain, as `sallyport keys init` makes it. off, or no such file: no tags',
    ),
    window: duration('30s', 5_000, 3_600_000).describe('A tag is good in its window and the next'),
  })
  .prefault({});

const limits = (what: string, packets: number, bytes: number) =>
  z
    .strictObject({
      packets: count(packets, 1, 1_048_576).describe(`Packets that may wait ${what}`),
      bytes: count(bytes, 1_500, 1_073_741_824).describe(`Bytes that may wait ${what}`),
    })
    .prefault({});

export const hold = z
  .strictObject({
    mark: z
      .int()
      .min(1)
      .max(0x7fffffff)
      .refine((bit) => (bit & (bit - 1)) === 0, 'wanted one bit: a power of two')
      .default(0x1000)
      .describe('The bit of skb->mark that says "hold"; no other program on the node may use it'),
    queue: count(5_114, 0, 65_535).describe('Number of the NFQUEUE'),
    backend: z
      .enum(['auto', 'nft', 'iptables-nft', 'iptables-legacy'])
      .default('auto')
      .describe('What makes the rule that leads marked packets into the queue'),
    deadline: duration('5s', 100, 60_000).describe('How long a packet may wait'),
    open: flag(false).describe('What nobody can hold (no agent, no room) passes unverified'),
    rate: count(1_000, 1, 1_000_000).describe('Packets one endpoint may have held in a second'),
    limits: z
      .strictObject({
        node: limits('on the node', 8_192, 16_777_216),
        perEndpoint: limits('for one endpoint', 1_024, 2_097_152),
        perPeer: limits('for one endpoint and one address', 256, 524_288),
      })
      .prefault({}),
  })
  .prefault({});

export const handshake = z
  .strictObject({
    listen: z
      .string()
      .refine((text) => text === 'off' || HOST_PORT.test(text), 'wanted host:port, [ipv6]:port or "off"')
      .default('off')
      .describe('Where agents of other nodes are heard. off: nothing is held, peers are known by tags only'),
    certificate: path('/etc/sallyport/tls/agent.crt').describe(
      "This agent's certificate, as `sallyport ca issue` makes it",
    ),
    key: path('/etc/sallyport/tls/agent.key').describe('Its key'),
    authority: path('/etc/sallyport/tls/authority.crt').describe("The domain's authorities"),
    agents: z
      .array(peerAgent)
      .max(4_096)
      .default([])
      .describe('The other agents: {name, address, cidrs, workloads, direct}'),
    deadline: duration('3s', 100, 60_000).describe('How long a handshake may take'),
    lifetime: duration('5m', 1_000, 86_400_000).describe(
      'How long a verified peer is trusted without being asked again',
    ),
    silent: flag(false).describe('Refuse without an answer'),
    records: z
      .strictObject({
        keep: duration('168h', 60_000, 31_536_000_000).describe('How long records of handshakes are kept'),
        most: count(100_000, 100, 100_000_000).describe('How many. 300 B each'),
      })
      .prefault({}),
  })
  .prefault({});
