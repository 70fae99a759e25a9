/**
 * A container as a runtime would start a privileged one that shares the processes of the host: an overlay root with
 * the files that scenarios ask for, kernel file systems, sockets that are served, a network that leads nowhere.
 */
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { instanceOf } from '../../../../src/agent/hardening/containers.ts';
import type { HardenedContainer, ProfilePages } from '../../../../src/datapath/hardening-port.ts';
import { readAnchors } from '../../../../src/sources/anchors.ts';
import { Cgroup } from '../../../rig/cgroup.ts';
import { DEED } from '../../../rig/deeds.ts';
import { uniqueName } from '../../../rig/names.ts';
import { Background, run } from '../../../rig/process.ts';
import { DIRECTORIES, FILES, LINKS, PROGRAMS, SERVED } from './furniture.ts';

/** Mounts, as a runtime makes them; then the root is exchanged and its process begins. */
const BEGIN = `
set -e
echo $$ > "$2/cgroup.procs"
cd "$1"
mount -t overlay overlay -o lowerdir=image,upperdir=upper,workdir=work,redirect_dir=on root
cd root
mount -t proc proc proc
mount -t binfmt_misc binfmt_misc proc/sys/fs/binfmt_misc
mount -t sysfs sysfs sys
mount -t securityfs securityfs sys/kernel/security
mount -t debugfs debugfs sys/kernel/debug
mount -t tracefs tracefs sys/kernel/tracing
mount -t tmpfs tmpfs sys/fs/cgroup
mkdir sys/fs/cgroup/unified sys/fs/cgroup/named
mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
mount -t cgroup -o none,name=deed cgroup sys/fs/cgroup/named
mount -t devtmpfs devtmpfs dev
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=1777 tmpfs tmp
for name in tmp/program tmp/xmrig-6.2 dev/shm/program dev/shm/kinsing; do cp usr/bin/basename $name; done
ip link set lo up
ip link add sink type dummy
ip address add 10.99.0.1/24 dev sink
ip address add fd99::1/64 dev sink nodad
ip link set sink up
ip route add default via 10.99.0.2
ip -6 route add default via fd99::2
pivot_root . old
exec /deed leave-old-root /old wait
`;

/** Above 2, which other kernels do not know, Debian's grants performance events to CAP_SYS_ADMIN alone. */
const PARANOIA = '/proc/sys/kernel/perf_event_paranoid';

export class Room {
  readonly cgroup = new Cgroup(uniqueName('room'));
  readonly #directory = mkdtempSync(join(tmpdir(), 'sallyport-room-'));
  readonly #processes: Background[] = [];
  #disk = '';
  #paranoia = '';
  #inside: Background | undefined;
  #answers = 1;

  static async open(): Promise<Room> {
    const room = new Room();
    try {
      await room.#furnish();
      await room.#begin();
      return room;
    } catch (error) {
      await room.close();
      throw error;
    }
  }

  /** What stands in braces in deeds. */
  get names(): Readonly<Record<string, string>> {
    const device = statSync(this.#disk).rdev;
    return {
      disk: this.#disk,
      diskname: this.#disk.replace('/dev/', ''),
      major: String(device >> 8),
      minor: String(device & 0xff),
      outside: String(this.#processes[0]?.pid),
      inside: String(this.#inside?.pid),
    };
  }

  /** `ok`, the name of the error, or `killed`. */
  async do(act: string): Promise<string> {
    if (this.#inside === undefined) throw new Error('the room is not open');
    this.#inside.write(`${act}\n`);
    this.#answers += 1;
    const lines = await this.#inside.output(new RegExp(`^(?:.*\n){${this.#answers}}`), 60_000);
    return lines[0].split('\n')[this.#answers - 1] ?? '';
  }

  container(profile: ProfilePages): HardenedContainer {
    const { id: number, name } = this.cgroup;
    const cgroup = { id: number, path: `/${name}`, level: 1 };
    const pid = this.#inside?.pid ?? 0;
    const mounts = () => readAnchors('/proc', new Set([pid]), cgroup.path);
    return { id: name, instance: instanceOf({ id: name, cgroup }), cgroup, profile, mounts };
  }

  async close(): Promise<void> {
    if (this.#paranoia !== '') writeFileSync(PARANOIA, this.#paranoia);
    for (const process of [this.#inside, ...this.#processes]) process?.close();
    this.cgroup.close();
    if (this.#disk !== '') await run(['losetup', '--detach', this.#disk]);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #furnish(): Promise<void> {
    const image = join(this.#directory, 'image');
    const place = (path: string): string => {
      mkdirSync(dirname(join(image, path)), { recursive: true });
      return join(image, path);
    };
    for (const name of ['image', 'upper', 'work', 'root']) mkdirSync(join(this.#directory, name));
    mkdirSync(join(image, 'usr/bin'), { recursive: true });
    for (const path of ['/usr/sbin', '/usr/lib', '/usr/lib64', ...DIRECTORIES])
      mkdirSync(join(image, path), { recursive: true });
    for (const path of FILES) writeFileSync(place(path), `${path}\n`);
    for (const [path, target] of LINKS) symlinkSync(target, place(path));
    for (const path of SERVED) if (path.startsWith('/')) place(path);
    copyFileSync(DEED, place('/deed'));
    await this.#copyPrograms(place);
    const disk = join(this.#directory, 'disk');
    writeFileSync(disk, Buffer.alloc(1 << 20));
    await run(['mkfs.ext2', '-q', disk]);
    await run(['modprobe', '-a', 'loop', 'binfmt_misc', 'dummy']);
    this.#disk = (await run(['losetup', '--find', '--show', disk])).trim();
    this.#paranoia = readFileSync(PARANOIA, 'latin1');
    writeFileSync(PARANOIA, '2');
  }

  /** A dynamic program and its libraries, under each name a file of its own. */
  async #copyPrograms(place: (path: string) => string): Promise<void> {
    const needed = await run(['ldd', '/bin/true']);
    for (const [library] of needed.matchAll(/\/\S+/g)) {
      const path = library.startsWith('/usr') ? library : `/usr${library}`;
      copyFileSync(library, place(path));
    }
    for (const path of PROGRAMS) {
      copyFileSync('/bin/true', place(path));
      chmodSync(place(path), 0o755);
    }
    chmodSync(place('/usr/bin/setuid'), 0o4755);
    chmodSync(place('/usr/bin/setgid'), 0o2755);
    await run(['setcap', 'cap_net_raw+ep', place('/usr/bin/filecap')]);
  }

  async #begin(): Promise<void> {
    const host = join(this.#directory, 'of-the-host');
    writeFileSync(host, 'of the host\n');
    this.#processes.push(new Background(['sh', '-c', 'exec sleep 3600 < "$0"', host]));
    const command = ['unshare', '--mount', '--net', '--propagation', 'private', 'sh', '-c', BEGIN, 'room'];
    this.#inside = new Background([...command, this.#directory, this.cgroup.path]);
    await this.#inside.output(/ready\n/, 120_000);
    const pid = String(this.#inside.pid);
    const enter = ['nsenter', '--target', pid, '--net'];
    const inside = [...enter, '--mount', '--root', '--wd=/', '/deed'];
    const served = SERVED.flatMap((name) => ['s', name]);
    const servers = [
      new Background([...inside, 'unix-serve', ...served]),
      new Background([...inside, 'hand-out', '@deed-own', '/etc/app.conf']),
      new Background([...enter, DEED, 'hand-out', '@deed-foreign', host]),
    ];
    this.#processes.push(...servers);
    for (const server of servers) await server.output(/serving/, 60_000);
  }
}
