/** A hardened process group on this machine, and processes that try things in it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { instanceOf } from '../../../src/agent/hardening/containers.ts';
import { compileWithCatalogue } from '../../../src/agent/hardening/open.ts';
import type { HardenedContainer } from '../../../src/datapath/hardening-port.ts';
import { ExecutableBits } from '../../../src/hardening/executables.ts';
import type { CompiledProfile } from '../../../src/hardening/profile.ts';
import { probeFeature } from '../../../src/libbpf/index.ts';
import { parsePolicyFile } from '../../../src/model/policy-file.ts';
import { readAnchors } from '../../../src/sources/anchors.ts';
import { Cgroup } from '../../rig/cgroup.ts';
import { uniqueName } from '../../rig/names.ts';
import { Background } from '../../rig/process.ts';

/** Whether this kernel asks BPF LSM programs; the machines of test/vm must. */
export function canHarden(): boolean {
  const { supported, reason } = probeFeature('lsm');
  if (!supported && process.env.SALLYPORT_VM !== undefined) throw new Error(`this machine should: ${reason}`);
  return supported;
}

/** What the `rules` of a hardening policy come down to. Profiles that follow each other share `executables`. */
export function profileOf(rules: string, defaults = '{}', executables = new ExecutableBits()): CompiledProfile {
  const text = `apiVersion: sallyport.dev/v1alpha1
kind: HardeningPolicy
metadata: {namespace: test, name: cage}
spec: {subject: {workload: Unit/*}, defaults: ${defaults}, rules: ${rules}}
`;
  const { hardening, problems } = parsePolicyFile('cage', Buffer.from(text));
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  const policies = hardening.map(({ policy }) => policy);
  return compileWithCatalogue(policies, { executables });
}

/** Reads commands, one a line, and does them: prints `ok`, or the error's name. */
const SERVANT = `
import errno, os, subprocess, sys
kept = {}
def do(words):
  verb, rest = words[0], words[1:]
  if verb == "read": open(rest[0]).read()
  elif verb == "keep": kept[rest[0]] = os.open(rest[0], os.O_RDONLY)
  elif verb == "use": os.pread(kept[rest[0]], 10, 0)
  elif verb == "move": open(rest[0] + "/cgroup.procs", "w").write(str(os.getpid()))
  elif verb == "mkdir": os.mkdir(rest[0])
  elif verb == "run":
    if subprocess.run(rest, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode: raise OSError(errno.ECHILD, "")
  elif verb == "fork":
    child = os.fork()
    if child == 0:
      try: do(rest); os._exit(0)
      except OSError as e: os._exit(e.errno)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status: raise OSError(status, "")
for line in sys.stdin:
  try: do(line.split()); print("ok", flush=True)
  except OSError as e: print(errno.errorcode[e.errno], flush=True)
`;

/** Reads a file as fast as it can until it is told to end; then prints how often it succeeded, of how many times. */
const ATTACKER = `
import os, sys, threading
end = []
threading.Thread(target=lambda: (sys.stdin.readline(), end.append(1)), daemon=True).start()
done = tried = 0
print("begun", flush=True)
while not end:
  tried += 1
  try: os.close(os.open(sys.argv[1], os.O_RDONLY)); done += 1
  except OSError: pass
print(done, tried, flush=True)
`;

export class Cage {
  readonly cgroup = new Cgroup(uniqueName('cage'));
  readonly #inside: Background[] = [];

  /** A process in the group. */
  async start(program: string, ...args: readonly string[]): Promise<Background> {
    // Nothing is done before it is where it should be.
    const waiting = `import sys; sys.stdin.readline()\n${program}`;
    const child = new Background(['python3', '-c', waiting, ...args]);
    this.#inside.push(child);
    writeFileSync(join(this.cgroup.path, 'cgroup.procs'), String(child.pid));
    child.write('\n');
    return child;
  }

  async servant(): Promise<Servant> {
    return new Servant(await this.start(SERVANT));
  }

  async attacker(path: string): Promise<Background> {
    const child = await this.start(ATTACKER, path);
    await child.output(/begun/);
    return child;
  }

  /** As the datapath is told of it. Its mounts are this process' own. */
  container(profile: HardenedContainer['profile']): HardenedContainer {
    const { id: number, name } = this.cgroup;
    const cgroup = { id: number, path: `/${name}`, level: 1 };
    const instance = instanceOf({ id: name, cgroup });
    return {
      id: name,
      instance,
      cgroup,
      profile,
      mounts: () => readAnchors('/proc', [process.pid], '/'),
    };
  }

  close(): void {
    for (const child of this.#inside) child.close();
    this.cgroup.close();
  }
}

/** Does what it is told, and says how that ended. */
export class Servant {
  readonly process: Background;
  #answers = 0;

  constructor(process: Background) {
    this.process = process;
  }

  /** `ok`, or the name of the error. */
  async do(...words: readonly string[]): Promise<string> {
    this.process.write(`${words.join(' ')}\n`);
    this.#answers += 1;
    const answers = await this.process.output(new RegExp(`(?:.*\n){${this.#answers}}`));
    return String(answers).split('\n')[this.#answers - 1] ?? '';
  }
}
