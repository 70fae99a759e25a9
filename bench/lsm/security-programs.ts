import { join } from 'node:path';
import { ADOPTER, KernelBearers } from '../../src/datapath/hardening/bearers.ts';
import { HardenedContainers } from '../../src/datapath/hardening/containers.ts';
import { hardeningMaps } from '../../src/datapath/hardening/tables.ts';
import type { HardenedContainer } from '../../src/datapath/hardening-port.ts';
import { ProfileFormat } from '../../src/datapath/layouts.gen.ts';
import { type BpfLink, hasKernelFunction, type LoadedObject, openObject } from '../../src/libbpf/index.ts';

/** Our security programs without an agent, that can be taken off their hooks and hung up again between two turns. */
export class SecurityPrograms {
  readonly #object: LoadedObject;
  readonly #containers: HardenedContainers;
  #links: BpfLink[] = [];

  constructor(objects: string, cgroupRoot: string) {
    const object = openObject(join(objects, 'harden.bpf.o'));
    for (const program of object.programs.values()) {
      const hook = /^lsm(?:\.s)?\/(\w+)/.exec(program.section)?.[1];
      if (hook !== undefined && !hasKernelFunction(`bpf_lsm_${hook}`)) program.autoload = false;
    }
    this.#object = object.load();
    this.#containers = new HardenedContainers({
      maps: hardeningMaps((name) => this.#object.map(name)),
      bearers: new KernelBearers(this.#object.program(ADOPTER)),
      cgroupRoot,
      wallClock: () => 0,
    });
  }

  /** One container for each profile: the pages one after the other. */
  async harden(
    profiles: readonly { readonly rules: number; readonly path: string; readonly id: bigint; readonly bytes: Buffer }[],
    mounts: HardenedContainer['mounts'],
  ): Promise<void> {
    const containers = profiles.map(({ rules, path, id, bytes }): HardenedContainer => {
      const size = ProfileFormat.ProfilePageBytes;
      const pages = Array.from({ length: bytes.length / size }, (_, n) => bytes.subarray(n * size, (n + 1) * size));
      const profile = { id: bytes.readBigUInt64LE(), pages };
      return { id: `rules-${rules}`, instance: BigInt(rules), cgroup: { id, path }, profile, mounts };
    });
    const failed = (await this.#containers.apply(containers, false)).find(({ enforced }) => !enforced);
    if (failed !== undefined) throw new Error(`bench: ${failed.id} is not hardened: ${failed.error}`);
  }

  attach(): void {
    if (this.#links.length > 0) return;
    for (const name of this.#object.programNames) {
      if (name !== ADOPTER) this.#links.push(this.#object.program(name).attach());
    }
  }

  detach(): void {
    for (const link of this.#links) link.close();
    this.#links = [];
  }

  close(): void {
    this.detach();
    this.#containers.close();
    this.#object.close();
  }
}
