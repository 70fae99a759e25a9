/** The node as sources see it, read with tools that are not ours. */

import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Host, Link, LinkAddress, Namespaces } from '../../../src/sources/host.ts';
import { cgroup2Mount } from '../../rig/cgroup.ts';
import type { Namespace } from '../../rig/netns.ts';
import { Background, run } from '../../rig/process.ts';

interface IpLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly link?: string;
  readonly link_index?: number;
  readonly link_netnsid?: number;
  readonly linkinfo?: { readonly info_kind?: string };
}

interface IpAddress {
  readonly ifindex: number;
  readonly addr_info: readonly { readonly local?: string; readonly prefixlen?: number }[];
}

interface IpRoute {
  readonly gateway?: string;
}

/** RTM_GETNSID for the namespace in argv[1]; prints the number, or -1. */
const GETNSID = `
import os, socket, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
body = struct.pack('=BxxxHHi', 0, 8, 3, fd)
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.send(struct.pack('=IHHII', 16 + len(body), 90, 1, 1, 0) + body)
answer = s.recv(4096)
kind = struct.unpack_from('=H', answer, 4)[0]
print(struct.unpack_from('=i', answer, 24)[0] if kind == 88 else -1)
`;

class IpNamespaces implements Namespaces {
  readonly node: number;
  readonly #own: Namespace;

  constructor(own: Namespace) {
    this.#own = own;
    this.node = Number(own.inode);
  }

  async links(netns?: string): Promise<Link[]> {
    const links = (await this.#ip(netns, ['-d', 'link'])) as IpLink[];
    const byName = new Map(links.map((link) => [link.ifname, link.ifindex]));
    return links.map((link) => {
      const peerIfindex = link.link_index ?? byName.get(link.link ?? '');
      return {
        ifindex: link.ifindex,
        name: link.ifname,
        kind: link.linkinfo?.info_kind ?? '',
        loopback: link.flags.includes('LOOPBACK'),
        ...(peerIfindex === undefined ? {} : { peerIfindex }),
        ...(link.link_netnsid === undefined ? {} : { linkNetnsid: link.link_netnsid }),
      };
    });
  }

  async addresses(netns?: string): Promise<LinkAddress[]> {
    const links = (await this.#ip(netns, ['addr'])) as IpAddress[];
    return links.flatMap(({ ifindex, addr_info }) =>
      addr_info.flatMap(({ local, prefixlen }) =>
        local === undefined || prefixlen === undefined ? [] : [{ ifindex, address: local, prefix: prefixlen }],
      ),
    );
  }

  async gateways(netns?: string): Promise<string[]> {
    const routes = [
      ...((await this.#ip(netns, ['route'])) as IpRoute[]),
      ...((await this.#ip(netns, ['-6', 'route'])) as IpRoute[]),
    ];
    return routes.flatMap((route) => route.gateway ?? []);
  }

  async netnsid(netns: string): Promise<number | undefined> {
    const id = Number(await run(this.#own.enter(['python3', '-c', GETNSID, netns])));
    return id < 0 ? undefined : id;
  }

  watch(listener: () => void): () => void {
    const monitor = new Background(this.#own.enter(['ip', '-o', 'monitor', 'link', 'address']));
    const timer = setInterval(() => {
      if (monitor.stdout.length === seen) return;
      seen = monitor.stdout.length;
      listener();
    }, 20);
    let seen = 0;
    return () => {
      clearInterval(timer);
      monitor.close();
    };
  }

  async #ip(netns: string | undefined, args: readonly string[]): Promise<unknown> {
    const command = ['ip', '-j', ...args];
    const text = await run(
      netns === undefined ? this.#own.enter(command) : ['nsenter', `--net=${netns}`, '--', ...command],
    );
    return text.trim() === '' ? [] : JSON.parse(text);
  }
}

/** The node whose own network namespace is `namespace`. */
export function nodeOf(namespace: Namespace): Host {
  const mount = cgroup2Mount();
  return {
    namespaces: new IpNamespaces(namespace),
    cgroups: {
      mount,
      id: (path) => statSync(join(mount, path), { bigint: true, throwIfNoEntry: false })?.ino,
    },
    proc: '/proc',
    now: Date.now,
  };
}
