/** Two containers on one wire, each with the program that writes tags on its cgroup, and an ear at both ends. */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DomainFlags, TagOwnerLayout } from '../../../src/datapath/layouts.gen.ts';
import {
  type BpfLink,
  cgroupId,
  type LoadedObject,
  mountBpffs,
  openObject,
  TypedMap,
  U32,
  U64,
} from '../../../src/libbpf/index.ts';
import { Cgroup } from '../../rig/cgroup.ts';
import { uniqueName } from '../../rig/names.ts';
import { Namespace, Place } from '../../rig/netns.ts';
import { parseTcp, type TcpPacket } from '../../rig/tag.ts';
import { sniff } from '../../rig/traffic.ts';
import { addressBytes } from '../../rig/wire.ts';
import { isAtLeast } from '../libbpf/sampler.ts';
import { TagTables } from './tag-reader.ts';

const OBJECT = resolve(import.meta.dirname, '../../../dist/bpf/tag.bpf.o');

/** Whether a program can set a listening socket's callbacks from outside. */
export const CAN_ADOPT = isAtLeast('6.12');

/** An end of the wire. */
export interface House {
  readonly place: Place;
  readonly identity: bigint;
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** An address outside the domain. */
  readonly foreign: string;
  readonly foreign6: string;
}

/** TCP packets in the order they arrived at the other end. */
export interface Heard {
  readonly left: readonly TcpPacket[];
  readonly right: readonly TcpPacket[];
}

export class TagStreet {
  readonly left: House;
  readonly right: House;
  readonly tables: TagTables;
  readonly owners: TypedMap<bigint, { readonly identity: bigint }>;
  readonly #loaded: LoadedObject;
  readonly #links = new Map<string, BpfLink>();

  private constructor(loaded: LoadedObject, left: House, right: House) {
    this.#loaded = loaded;
    this.left = left;
    this.right = right;
    this.tables = new TagTables(loaded);
    this.owners = new TypedMap(loaded.map('tag_owners'), U64, TagOwnerLayout);
  }

  static async create(): Promise<TagStreet> {
    const left = await createHouse(1, 0xa11ce0000000001n);
    const right = await createHouse(2, 0xb0b000000000002n);
    await left.place.namespace.ip([
      `link add eth0 address ${left.mac} type veth peer name eth0 address ${right.mac} netns ${right.place.namespace.name}`,
    ]);
    for (const house of [left, right]) {
      await house.place.namespace.ip([
        'link set eth0 up',
        `addr add ${house.ipv4}/24 dev eth0`,
        `addr add ${house.foreign}/24 dev eth0`,
        `addr add ${house.ipv6}/64 dev eth0 nodad`,
        `addr add ${house.foreign6}/64 dev eth0 nodad`,
      ]);
    }
    const object = openObject(OBJECT);
    object.programs.get('adopt_listeners')!.autoload = CAN_ADOPT;
    const street = new TagStreet(object.load(), left, right);
    for (const house of [left, right]) street.attach(house.place.cgroup!, house.identity);
    street.reset();
    return street;
  }

  /** Tags are on, toward 10.77.0.0/16 and fd77::/16; both houses have their owners. */
  reset(): void {
    this.tables.reset();
    const { domains } = this.tables;
    for (const key of [...domains.keys()]) domains.delete(key);
    this.domain('10.77.0.0', 96 + 16, DomainFlags.Tag);
    this.domain('fd77::', 16, DomainFlags.Tag | DomainFlags.Hold);
    for (const house of [this.left, this.right]) this.own(house.place.cgroup!, house.identity);
  }

  domain(network: string, prefix: number, flags: number): void {
    const bytes = addressBytes(network);
    const mapped = bytes.length === 16 ? bytes : Buffer.concat([Buffer.alloc(10), Buffer.from([255, 255]), bytes]);
    this.tables.domains.set({ prefix, network: { bytes: mapped } }, { flags });
  }

  attach(cgroup: Cgroup, identity: bigint): void {
    this.#links.set(cgroup.path, this.#loaded.program('write_tag').attachCgroup(cgroup.path, 'cgroup_sock_ops'));
    this.own(cgroup, identity);
  }

  detach(cgroup: Cgroup): void {
    this.#links.get(cgroup.path)?.close();
    this.#links.delete(cgroup.path);
  }

  /** Says whose a cgroup is that the program is attached to. */
  own(cgroup: Cgroup, identity: bigint): void {
    this.owners.set(cgroupId(cgroup.path), { identity });
  }

  /** How often the program has run; counted while statistics are on. */
  get runs(): number {
    return Number(this.#loaded.program('write_tag').info().runCount);
  }

  /** As a new agent does: loads the program again over the same tables, and puts it in the old one's place. */
  renew(): LoadedObject {
    const object = openObject(OBJECT);
    for (const [name, map] of object.maps) map.reuse(this.#loaded.map(name));
    const loaded = object.load();
    for (const link of this.#links.values()) link.update(loaded.program('write_tag'));
    return loaded;
  }

  /** Makes the listeners in these cgroups ask for tags; returns port and outcome of each. */
  async adopt(where: House, cgroups: readonly Cgroup[]): Promise<[port: number, outcome: number][]> {
    const adopted = new TypedMap(this.#loaded.map('adopted_cgroups'), U64, U32);
    adopted.deleteAll([...adopted.keys()]);
    for (const { path } of cgroups) adopted.set(cgroupId(path), 1);
    mountBpffs('/sys/fs/bpf');
    const pin = `/sys/fs/bpf/${uniqueName('listeners')}`;
    const link = this.#loaded.program('adopt_listeners').attach();
    link.pin(pin);
    try {
      const lines = (await where.place.namespace.run(['cat', pin])).trim();
      return lines === '' ? [] : lines.split('\n').map((line) => line.split(' ').map(Number) as [number, number]);
    } finally {
      link.unpin();
      link.close();
    }
  }

  /** What goes over the wire while `work` is done, and for a moment after. */
  async hear(work: () => Promise<unknown>): Promise<Heard> {
    const atRight = await sniff(this.right.place.namespace, 'eth0');
    const atLeft = await sniff(this.left.place.namespace, 'eth0');
    await work();
    await sleep(200);
    const [left, right] = [await atRight.frames(), await atLeft.frames()];
    return { left: packets(left), right: packets(right) };
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
    this.#loaded.close();
    for (const house of [this.left, this.right]) {
      house.place.cgroup!.close();
      house.place.namespace.close();
    }
  }
}

function packets(frames: readonly Buffer[]): TcpPacket[] {
  return frames.map(parseTcp).filter((packet) => packet !== undefined);
}

async function createHouse(number: number, identity: bigint): Promise<House> {
  const namespace = await Namespace.create(`house${number}`);
  return {
    place: new Place(namespace, new Cgroup(uniqueName(`house${number}`))),
    identity,
    mac: `02:00:00:00:77:0${number}`,
    ipv4: `10.77.0.${number}`,
    ipv6: `fd77::${number}`,
    foreign: `10.88.0.${number}`,
    foreign6: `fd88::${number}`,
  };
}
