import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import {
  BpfError,
  BpfProgram,
  FEATURE_NAMES,
  type FeatureName,
  findCgroup2Mount,
  kernelIds,
  probeFeature,
  probeFeatures,
} from '../../../src/libbpf/index.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { isAtLeast } from './sampler.ts';

/** What a kernel may lack although it is new enough: no text patching in some sandboxes, LSM by boot parameter. */
const DEPENDS_ON_MORE: readonly FeatureName[] = ['fentry', 'lsm', 'conntrack_lookup'];

describe('Feature probes', () => {
  for (const name of FEATURE_NAMES) {
    it(`find ${name} wherever the kernel is new enough, or say why not`, () => {
      const feature = probeFeature(name);
      if (!feature.supported)
        assert.match(feature.reason ?? '', /^(load|attach|create|lookup|ask|it attaches|neither|no |Cannot)/);
      else assert.equal(feature.reason, undefined);
      if (!DEPENDS_ON_MORE.includes(name)) assert.equal(feature.supported, isAtLeast(feature.since), feature.reason);
    });
  }

  it('leave nothing behind', async () => {
    probeFeatures();
    const root = findCgroup2Mount();
    if (root !== undefined) {
      assert.deepEqual(
        readdirSync(root).filter((name) => name === `libbpf-ts-probe-${process.pid}`),
        [],
      );
    }
    // The kernel frees programs and network namespaces when it gets to it.
    const names = () => [...kernelIds('program')].map(nameOf).filter((name) => name === 'probe');
    await waitFor('the end of the probes', () => names().length === 0);
  });

  it('believe a security hook only when it was called', function () {
    const list = '/sys/kernel/security/lsm';
    // Without securityfs nobody can say; without text patching no hook can be attached.
    if (!existsSync(list) || !probeFeature('fentry').supported) this.skip();
    const lsm = probeFeature('lsm');
    const active = readFileSync(list, 'utf8').trim().split(',').includes('bpf');
    assert.equal(lsm.supported, active, lsm.reason);
    if (!active) assert.match(lsm.reason ?? '', /lsm=/);
  });
});

function nameOf(id: number): string | undefined {
  try {
    const program = BpfProgram.openById(id);
    program.close();
    return program.name;
  } catch (error) {
    if (error instanceof BpfError && error.code === 'NOT_FOUND') return undefined; // gone meanwhile
    throw error;
  }
}
