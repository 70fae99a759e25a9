import assert from 'node:assert/strict';
import fc from 'fast-check';
import { compileGatePatterns, isContainerPath } from '../../src/datapath/gate/automaton.ts';
import { GatePatternError } from '../../src/datapath/gate/patterns.ts';
import { CONTAINER_CGROUPS } from '../../src/datapath/gate/standard.ts';
import { GateFormat } from '../../src/datapath/layouts.gen.ts';

const ID = '0123456789abcdef'.repeat(4);
const OTHER = 'fedcba9876543210'.repeat(4);

describe('the cgroups of containers', () => {
  const standard = compileGatePatterns({ containers: CONTAINER_CGROUPS, exceptions: [] });

  const containers = [
    `/docker/${ID}`,
    `/system.slice/docker-${ID}.scope`,
    `/my.slice/my-own.slice/docker-${ID}.scope`,
    `/kubepods/besteffort/pod00000000-0000-4000-8000-000000000001/${ID}`,
    `/kubepods.slice/kubepods-pod1.slice/cri-containerd-${ID}.scope`,
    `/kubepods.slice/kubepods-pod1.slice/crio-${ID}.scope`,
    `/k8s.io/${ID}`,
    `/machine.slice/libpod-${ID}.scope`,
    `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${ID}.scope`,
    `/libpod_parent/libpod-${ID}`,
    `/${ID}`,
  ];
  for (const path of containers) {
    it(`are known by ${path.replace(ID, 'ID')}`, () => assert.equal(isContainerPath(standard, path), true));
  }

  const others = [
    '/',
    '/docker',
    '/system.slice/ssh.service',
    `/docker/${ID}0`,
    `/docker/${ID.slice(1)}`,
    `/docker/${ID.toUpperCase()}`,
    `/system.slice/docker-${ID}.service`,
    `/machine.slice/libpod-conmon-${ID}.scope`,
    `/kubepods.slice/crio-conmon-${ID}.scope`,
    '/kubepods/besteffort/pod00000000-0000-4000-8000-000000000001',
    `/docker/${ID}/below`,
    `/docker/${ID}/docker/${OTHER}`,
    `/system.slice/docker-${ID}.scope/${OTHER}`,
  ];
  for (const path of others) {
    const shown = path.replace(ID, 'ID').replace(OTHER, 'OTHER');
    it(`are not ${shown}`, () => assert.equal(isContainerPath(standard, path), false));
  }

  it('may be told by patterns of one’s own', () => {
    const own = compileGatePatterns({ containers: ['/default/*', '/lxc/**/c?'], exceptions: ['/default/agent*'] });
    assert.equal(isContainerPath(own, '/default/web'), true);
    assert.equal(isContainerPath(own, '/default'), false);
    assert.equal(isContainerPath(own, '/default/web/below'), false);
    assert.equal(isContainerPath(own, '/default/agent-1'), false);
    assert.equal(isContainerPath(own, '/lxc/c1'), true);
    assert.equal(isContainerPath(own, '/lxc/a/b/c1'), true);
    assert.equal(isContainerPath(own, '/lxc/a/b/d1'), false);
  });

  it('never lie below an exception', () => {
    const own = compileGatePatterns({ containers: CONTAINER_CGROUPS, exceptions: [`/pods/pod7/**`] });
    assert.equal(isContainerPath(own, `/pods/pod7/${ID}`), false);
    assert.equal(isContainerPath(own, `/pods/pod8/${ID}`), true);
  });

  it('are those a regular expression finds, whatever the path', () => {
    const patterns = ['/**/{id}', '/**/docker-{id}.scope', '/a/*/b', '/x?/**'];
    const automaton = compileGatePatterns({ containers: patterns, exceptions: ['/a/c'] });
    const part = fc.oneof(
      fc.constantFrom('a', 'b', 'c', 'x1', 'xx', ID, `docker-${ID}.scope`),
      fc.string({ minLength: 1 }),
    );
    const clean = part.map((text) => text.replaceAll(/[/\0]/g, '-'));
    fc.assert(
      fc.property(fc.array(clean, { minLength: 1, maxLength: 5 }), (parts) => {
        assert.equal(isContainerPath(automaton, `/${parts.join('/')}`), plainly(patterns, ['/a/c'], parts));
      }),
      { numRuns: 2_000 },
    );
  });
});

/** By regular expressions: the shortest part of the path that anything matches decides, and must be the whole. */
function plainly(containers: readonly string[], exceptions: readonly string[], parts: readonly string[]): boolean {
  const any = (patterns: readonly string[], path: string): boolean =>
    patterns.some((one) => expression(one).test(path));
  for (let length = 1; length <= parts.length; length++) {
    const path = `/${parts.slice(0, length).join('/')}`;
    if (any(exceptions, path)) return false;
    if (any(containers, path)) return length === parts.length;
  }
  return false;
}

function expression(pattern: string): RegExp {
  const source = pattern
    .split('/')
    .slice(1)
    .map((part) =>
      part === '**'
        ? '(/[^/]+)*'
        : `/${part
            .replaceAll(/[.+()[\]|^$\\]/g, '\\$&')
            .replaceAll('{id}', '[0-9a-f]{64}')
            .replaceAll('*', '[^/]*')
            .replaceAll('?', '[^/]')}`,
    )
    .join('');
  return new RegExp(`^${source}$`, 's');
}

describe('a pattern of cgroups that cannot be used', () => {
  const bad: [pattern: string, why: RegExp][] = [
    ['docker/{id}', /does not begin with \//],
    ['/docker//x', /"" is no part/],
    ['/docker/../x', /"\.\." is no part/],
    ['/docker/a**', /\*\* stands alone/],
    [`/${'x'.repeat(1_024)}`, /at most 1024 bytes/],
    ['/*a?????????????', /more than 4096 states/],
  ];
  for (const [pattern, why] of bad) {
    it(`is named with the reason: ${pattern.slice(0, 30)}`, () => {
      assert.throws(
        () => compileGatePatterns({ containers: [pattern], exceptions: [] }),
        (error: unknown) => error instanceof GatePatternError && why.test(error.message) && error.pattern === pattern,
      );
    });
  }

  it('needs no more room than the kernel has', () => {
    assert.throws(
      () => compileGatePatterns({ containers: Array.from({ length: 4_097 }, () => '/a'), exceptions: [] }),
      /wanted at most 4096/,
    );
    const plain = Array.from({ length: 300 }, (_, n) => `/system.slice/worker@${n}.service`);
    compileGatePatterns({ containers: [...CONTAINER_CGROUPS, ...plain], exceptions: [] });
    const { states, classes } = compileGatePatterns({ containers: CONTAINER_CGROUPS, exceptions: [] });
    assert.ok(states <= GateFormat.States / 2, `${states} states leave no room for others`);
    assert.ok(classes <= GateFormat.Classes / 2, `${classes} classes leave no room for others`);
  });
});
