import { samePrefix, V4_MAPPED, V4_MAPPED_PREFIX } from '../model/address.ts';
import { MOUNT_OPERATIONS, type Target } from '../model/hardening.ts';
import type { Boxes } from './boxes.ts';
import { MountFlag, mountOperationBit } from './format.ts';

type TargetOf<T extends Target['type']> = Extract<Target, { type: T }>;

/** Which sockets are meant; -1 is any number. */
export interface SocketBox {
  readonly family: number;
  readonly kind: number;
  readonly protocol: number;
}

/** Which mounts are meant. */
export interface MountBox {
  /** `enum mount_operation`. */
  readonly operations: number;
  /** Empty: any. */
  readonly fileSystem: string;
  /** What a mount must be, `enum mount_flags`. */
  readonly flags: number;
}

/** Which connections and datagrams are meant. */
export interface NetworkBox {
  readonly address: Uint8Array;
  readonly prefix: number;
  /** 0: any. */
  readonly protocol: number;
  readonly port: number;
  readonly endPort: number;
}

const ANY = -1;

/** The number both mean; undefined where there is none. */
function both(a: number, b: number, any: number): number | undefined {
  if (a === any) return b;
  return b === any || a === b ? a : undefined;
}

export const SOCKETS: Boxes<SocketBox> = {
  keyOf: ({ family, kind, protocol }) => `${family} ${kind} ${protocol}`,
  common(a, b) {
    const family = both(a.family, b.family, ANY);
    const kind = both(a.kind, b.kind, ANY);
    const protocol = both(a.protocol, b.protocol, ANY);
    if (family === undefined || kind === undefined || protocol === undefined) return undefined;
    return { family, kind, protocol };
  },
  contains: (outer, inner) =>
    (outer.family === ANY || outer.family === inner.family) &&
    (outer.kind === ANY || outer.kind === inner.kind) &&
    (outer.protocol === ANY || outer.protocol === inner.protocol),
};

export function socketBoxes({ family = ANY, kind = ANY, protocol = ANY }: TargetOf<'socket'>): SocketBox[] {
  return [{ family, kind, protocol }];
}

/** Whether a target means all that is in a box. */
export function meansSocket(target: TargetOf<'socket'>, box: SocketBox): boolean {
  return socketBoxes(target).some((outer) => SOCKETS.contains(outer, box));
}

export const MOUNTS: Boxes<MountBox> = {
  keyOf: ({ operations, fileSystem, flags }) => `${operations} ${flags} ${fileSystem}`,
  common(a, b) {
    const operations = a.operations & b.operations;
    if (operations === 0) return undefined;
    if (a.fileSystem !== '' && b.fileSystem !== '' && a.fileSystem !== b.fileSystem) return undefined;
    return { operations, fileSystem: a.fileSystem || b.fileSystem, flags: a.flags | b.flags };
  },
  contains: (outer, inner) =>
    (inner.operations & ~outer.operations) === 0 &&
    (outer.fileSystem === '' || outer.fileSystem === inner.fileSystem) &&
    (outer.flags & ~inner.flags) === 0,
};

export function mountBoxes({ operations, fileSystems, writable, devices }: TargetOf<'mounts'>): MountBox[] {
  const bits = operations.reduce((sum, one) => sum | mountOperationBit(MOUNT_OPERATIONS.indexOf(one)), 0);
  const flags = (writable ? MountFlag.Writable : 0) | (devices ? MountFlag.Device : 0);
  const names = fileSystems.length === 0 ? [''] : fileSystems;
  return names.map((fileSystem) => ({ operations: bits, fileSystem, flags }));
}

export function meansMount(target: TargetOf<'mounts'>, box: MountBox): boolean {
  return mountBoxes(target).some((outer) => MOUNTS.contains(outer, box));
}

export const NETWORKS: Boxes<NetworkBox> = {
  keyOf: ({ address, prefix, protocol, port, endPort }) =>
    `${Buffer.from(address).toString('hex')} ${prefix} ${protocol} ${port} ${endPort}`,
  common(a, b) {
    const [wide, narrow] = a.prefix <= b.prefix ? [a, b] : [b, a];
    const protocol = both(a.protocol, b.protocol, 0);
    const port = Math.max(a.port, b.port);
    const endPort = Math.min(a.endPort, b.endPort);
    if (!samePrefix(wide.address, narrow.address, wide.prefix) || protocol === undefined || port > endPort) {
      return undefined;
    }
    return { address: narrow.address, prefix: narrow.prefix, protocol, port, endPort };
  },
  contains: (outer, inner) =>
    outer.prefix <= inner.prefix &&
    samePrefix(outer.address, inner.address, outer.prefix) &&
    (outer.protocol === 0 || outer.protocol === inner.protocol) &&
    outer.port <= inner.port &&
    inner.endPort <= outer.endPort,
};

/** Of ports and protocol, for any network. */
function portsOf({ protocol = 0, port, endPort }: TargetOf<'network'>): Omit<NetworkBox, 'address' | 'prefix'> {
  return { protocol, port: port ?? 0, endPort: endPort ?? port ?? 0xffff };
}

const EVERYWHERE = { address: new Uint8Array(16), prefix: 0 };
const V4 = { address: V4_MAPPED, prefix: V4_MAPPED_PREFIX };

/** The target's networks, and the IPv4 part of an IPv6 one, which the target does not mean. */
export function networkBoxes(target: TargetOf<'network'>): NetworkBox[] {
  const ports = portsOf(target);
  if (target.networks.length === 0) return [{ ...EVERYWHERE, ...ports }];
  return target.networks.flatMap(({ family, address, prefix }) => {
    const box = { address, prefix, ...ports };
    const hole = { ...V4, ...ports };
    return family === 6 && NETWORKS.contains(box, hole) ? [box, hole] : [box];
  });
}

export function meansNetwork(target: TargetOf<'network'>, box: NetworkBox): boolean {
  const ports = portsOf(target);
  if (target.networks.length === 0) return NETWORKS.contains({ ...EVERYWHERE, ...ports }, box);
  const isV4 = NETWORKS.contains({ ...V4, protocol: 0, port: 0, endPort: 0xffff }, box);
  return target.networks.some(
    ({ family, address, prefix }) => (family === 4) === isV4 && NETWORKS.contains({ address, prefix, ...ports }, box),
  );
}
