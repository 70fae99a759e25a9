import { ReplayBucketLayout } from '../../../src/datapath/layouts.gen.ts';
import { type BpfMap, TypedMap, U32 } from '../../../src/libbpf/index.ts';

/** What the kernel remembers of the tags it has verified. */
export class RememberedTags {
  readonly #map: BpfMap;
  readonly #verified: () => number;
  #forgotten = 0;

  /** `verified` counts the tags: the table is as it was left where none has come. */
  constructor(map: BpfMap, verified: () => number) {
    this.#map = map;
    this.#verified = verified;
  }

  count(): number {
    let tags = 0;
    const buckets = new TypedMap(this.#map, U32, ReplayBucketLayout);
    for (const [, { seals }] of buckets.entries()) tags += seals.filter((seal) => seal !== 0n).length;
    return tags;
  }

  forget(): void {
    const verified = this.#verified();
    if (verified === this.#forgotten) return;
    const buckets = this.#map.maxEntries;
    const numbers = Uint32Array.from({ length: buckets }, (_, number) => number);
    this.#map.setBatch(new Uint8Array(numbers.buffer), new Uint8Array(buckets * ReplayBucketLayout.size), buckets);
    this.#forgotten = verified;
  }
}
