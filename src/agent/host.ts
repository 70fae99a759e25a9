import { statSync } from 'node:fs';
import { join } from 'node:path';
import {
  BpfError,
  cgroupId,
  findCgroup2Mount,
  listAddresses,
  listLinks,
  listNetwork,
  type NetworkLink,
  netnsId,
  watchLinks,
} from '../libbpf/index.ts';
import type { Cgroups, Host, Link, LinkAddress, Namespaces, NamespaceView } from '../sources/host.ts';

/** The loopback device has this index in every namespace; its name can be changed. */
const LOOPBACK_IFINDEX = 1;

export interface HostOptions {
  /** Path of the network namespace that is the node's; this process' own by default. */
  readonly netns?: string;
  /** Where the cgroup2 tree is mounted; found in /proc/self/mountinfo by default. */
  readonly cgroupRoot?: string;
}

/** The node this process runs on, as sources see it. */
export function openHost(options: HostOptions = {}): Host {
  const mount = options.cgroupRoot ?? findCgroup2Mount();
  return {
    namespaces: new KernelNamespaces(options.netns),
    cgroups: mount === undefined ? undefined : new KernelCgroups(mount),
    proc: '/proc',
    now: Date.now,
  };
}

class KernelNamespaces implements Namespaces {
  readonly node: number;
  readonly #own: string | undefined;

  constructor(own: string | undefined) {
    this.#own = own;
    this.node = statSync(own ?? '/proc/self/ns/net').ino;
  }

  async links(): Promise<readonly Link[]> {
    return listLinks({ netns: this.#own }).map(toLink);
  }

  async addresses(): Promise<readonly LinkAddress[]> {
    return listAddresses({ netns: this.#own });
  }

  async view(netns: string): Promise<NamespaceView> {
    const { links, addresses, routes } = listNetwork({ netns });
    return {
      links: links.map(toLink),
      addresses,
      gateways: [...new Set(routes.flatMap((route) => route.gateway ?? []))],
      netnsid: netnsId(netns, { netns: this.#own }),
    };
  }

  watch(listener: () => void): () => void {
    const watcher = watchLinks({ netns: this.#own, kinds: ['link', 'address'], onChange: () => listener() });
    return () => watcher.close();
  }
}

class KernelCgroups implements Cgroups {
  readonly mount: string;

  constructor(mount: string) {
    this.mount = mount;
  }

  id(path: string): bigint | undefined {
    try {
      return cgroupId(join(this.mount, path));
    } catch (thrown) {
      if (thrown instanceof BpfError && thrown.code === 'NOT_FOUND') return undefined;
      throw thrown;
    }
  }
}

function toLink({ ifindex, name, kind = '', peerIfindex, linkNetnsid }: NetworkLink): Link {
  return {
    ifindex,
    name,
    kind,
    loopback: ifindex === LOOPBACK_IFINDEX,
    ...(peerIfindex === undefined ? {} : { peerIfindex }),
    ...(linkNetnsid === undefined ? {} : { linkNetnsid }),
  };
}
