import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import {
  FEATURE_NAMES,
  type FeatureName,
  findCgroup2Mount,
  listLinks,
  probeFeature,
  probeFeatures,
} from '../../../src/libbpf/index.ts';
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

  it('leave nothing behind', () => {
    const links = listLinks().length;
    probeFeatures();
    assert.equal(listLinks().length, links);
    const root = findCgroup2Mount();
    if (root !== undefined)
      assert.deepEqual(
        readdirSync(root).filter((name) => name.startsWith('libbpf-ts-probe')),
        [],
      );
  });

  it('believe a security hook only when it was called', function () {
    const lsm = probeFeature('lsm');
    const list = '/sys/kernel/security/lsm';
    if (!existsSync(list)) this.skip();
    assert.ok(lsm.supported || lsm.reason !== undefined);
  });
});
