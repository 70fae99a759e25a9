/** What is in the image beside the program: a C library, a shell, the firewall's tools, certificates, two users. */

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { addHostFiles, librariesOf } from './libraries.ts';
import { addPackages, type DebianPackage, packagesOf } from './packages.ts';
import { Tree } from './tree.ts';

/** Runs the manager, and whatever else needs no rights. */
export const USER = { name: 'sallyport', id: 65532 } as const;

const MULTIARCH = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
/** nft and iptables lead held packets to their queue (src/netfilter); nsenter finds the node's cgroups. */
const PROGRAMS = ['/usr/sbin/nft', '/usr/sbin/xtables-nft-multi', '/usr/sbin/xtables-legacy-multi', '/usr/bin/nsenter'];
const BUSYBOX = '/bin/busybox';
const EXTENSIONS = `/usr/lib/${MULTIARCH}/xtables`;
const TOOLS = ['iptables', 'ip6tables'].flatMap((tool) => [tool, `${tool}-save`, `${tool}-restore`]);
const AUTHORITIES = '/usr/share/ca-certificates/mozilla';

/** Whatever else is linked with a library comes in `linked`. */
export function systemTree(linked: readonly string[]): { tree: Tree; packages: readonly DebianPackage[] } {
  const tree = new Tree();
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) tree.directory(`usr/${name}`).link(name, `usr/${name}`);
  for (const name of ['proc', 'sys', 'dev', 'run', 'etc', 'var/lib', 'home']) tree.directory(name);
  tree.directory('tmp', 0o1777).directory('root', 0o700);

  const extensions = readdirSync(EXTENSIONS).map((name) => join(EXTENSIONS, name));
  const libraries = librariesOf([...PROGRAMS, ...extensions, ...linked]);
  const files = addHostFiles(tree, [...PROGRAMS, BUSYBOX, ...extensions, ...libraries]);
  addApplets(tree);
  addFirewallNames(tree);
  addAccounts(tree);
  tree.text('etc/ssl/certs/ca-certificates.crt', authorities());
  tree.text('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n');

  const packages = packagesOf([...files, join(AUTHORITIES, readdirSync(AUTHORITIES)[0]!)]);
  addPackages(tree, packages);
  return { tree, packages };
}

/** A shell and its small tools, where no real program is. */
function addApplets(tree: Tree): void {
  const applets = execFileSync(BUSYBOX, ['--list'], { encoding: 'utf8' }).split('\n').filter(Boolean);
  for (const name of applets.map((applet) => basename(applet))) {
    const real = ['bin', 'sbin'].some((directory) => tree.has(`usr/${directory}/${name}`));
    if (!real) tree.link(`usr/bin/${name}`, 'busybox');
  }
}

/** As Debian's alternatives: nftables behind the plain names. */
function addFirewallNames(tree: Tree): void {
  for (const tool of TOOLS) {
    const [base, action = ''] = tool.split(/(?=-)/);
    tree.link(`usr/sbin/${tool}`, 'xtables-nft-multi');
    tree.link(`usr/sbin/${base}-nft${action}`, 'xtables-nft-multi');
    tree.link(`usr/sbin/${base}-legacy${action}`, 'xtables-legacy-multi');
  }
}

function addAccounts(tree: Tree): void {
  const { name, id } = USER;
  const nobody = 65534;
  tree.text(
    'etc/passwd',
    `root:x:0:0:root:/root:/bin/sh\n${name}:x:${id}:${id}:${name}:/:/sbin/nologin\nnobody:x:${nobody}:${nobody}:nobody:/:/sbin/nologin\n`,
  );
  tree.text('etc/group', `root:x:0:\n${name}:x:${id}:\nnogroup:x:${nobody}:\n`);
}

/** Mozilla's, from their package: not what the administrator of this machine has added to them. */
function authorities(): string {
  if (!existsSync(AUTHORITIES)) throw new Error(`Cannot find ${AUTHORITIES}: run 'make setup'`);
  const files = readdirSync(AUTHORITIES).sort();
  return files.map((name) => `${readFileSync(join(AUTHORITIES, name), 'utf8').trimEnd()}\n`).join('');
}
