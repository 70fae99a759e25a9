import type { MountBox, NetworkBox, SocketBox } from './criteria.ts';
import { ANY_NUMBER, MountOffset, NetworkOffset, ProfileOffset, SocketOffset, viewOfPage } from './format.ts';

/** A criterion of a list, and the reference of what is said of what it means. */
export interface ListEntry<B> {
  readonly box: B;
  readonly rulings: number;
}

/** `struct profile` without its id. References are 0 where everything is allowed. */
export interface Head {
  readonly lasting: bigint;
  readonly start: number;
  readonly startExecutables: number;
  readonly accesses: number;
  readonly pages: number;
  readonly defaults: readonly number[];
  readonly moving: { readonly rulings: number; readonly guards: number; readonly keeps: number };
  readonly capabilities: readonly [readonly number[], readonly number[]];
  readonly operations: readonly number[];
  readonly sockets: readonly ListEntry<SocketBox>[];
  readonly mounts: readonly ListEntry<MountBox>[];
  readonly networks: readonly ListEntry<NetworkBox>[];
  readonly socketDefault: number;
  readonly mountDefault: number;
  readonly networkDefault: number;
  /** The recording's number; 0: none. */
  readonly learning: number;
}

/** Writes page 0. */
export function writeHead(page: Uint8Array, head: Head): void {
  const view = viewOfPage(page);
  const words = (offset: number, values: readonly number[]): void => {
    for (const [i, value] of values.entries()) view.setUint32(offset + 4 * i, value, true);
  };
  view.setBigUint64(ProfileOffset.lasting, head.lasting, true);
  words(ProfileOffset.start, [head.start, head.startExecutables, head.accesses, head.pages]);
  words(ProfileOffset.defaults, head.defaults);
  words(ProfileOffset.socketDefault, [head.socketDefault, head.mountDefault, head.networkDefault]);
  words(ProfileOffset.capabilities, head.capabilities.flat());
  words(ProfileOffset.operations, head.operations);
  words(ProfileOffset.movingDefault, [head.moving.rulings, head.moving.guards, head.moving.keeps, head.learning]);
  for (const [i, { box, rulings }] of head.sockets.entries()) {
    const at = ProfileOffset.sockets + i * SocketOffset.size;
    const number = (value: number): number => (value < 0 ? ANY_NUMBER : value);
    view.setUint16(at + SocketOffset.family, number(box.family), true);
    view.setUint16(at + SocketOffset.type, number(box.kind), true);
    view.setUint16(at + SocketOffset.protocol, number(box.protocol), true);
    view.setUint32(at + SocketOffset.rulings, rulings, true);
  }
  for (const [i, { box, rulings }] of head.mounts.entries()) {
    const at = ProfileOffset.mounts + i * MountOffset.size;
    view.setUint32(at + MountOffset.operations, box.operations, true);
    view.setUint32(at + MountOffset.flags, box.flags, true);
    page.set(Buffer.from(box.fileSystem), at + MountOffset.type);
    view.setUint32(at + MountOffset.rulings, rulings, true);
  }
  for (const [i, { box, rulings }] of head.networks.entries()) {
    const at = ProfileOffset.networks + i * NetworkOffset.size;
    page.set(box.address, at + NetworkOffset.network);
    view.setUint16(at + NetworkOffset.prefix, box.prefix, true);
    view.setUint16(at + NetworkOffset.port, box.port, true);
    view.setUint16(at + NetworkOffset.endPort, box.endPort, true);
    view.setUint8(at + NetworkOffset.protocol, box.protocol);
    view.setUint32(at + NetworkOffset.rulings, rulings, true);
  }
}
