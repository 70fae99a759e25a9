import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanupOf } from '../../packaging/deploy-cluster/cleanup.ts';
import {
  podSpecOf,
  readManifests,
  STANDARD_IMAGE,
  suit,
  writeManifests,
} from '../../packaging/deploy-cluster/manifests.ts';
import { managerSchema } from '../../src/manager/config.ts';
import {
  AGENT_PERMISSIONS,
  CERTIFICATE_PERMISSIONS,
  describePermission,
} from '../../src/sources/kubernetes/permissions.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

const base = (name: string) => readFileSync(join(import.meta.dirname, '../../k8s/base', name), 'utf8');
/** As kustomize leaves them: its image's name put in. */
const read = (...names: readonly string[]) =>
  names.flatMap((name) => readManifests(base(name).replaceAll('image: sallyport\n', `image: ${STANDARD_IMAGE}\n`)));
const NEW = new Set(['v1', 'apps/v1', 'policy/v1', 'policy/v1beta1']);

describe('what agents may do', () => {
  it('is what they ask for, and nothing else', () => {
    const role = readManifests(base('rbac-agent.yaml')).find(({ kind }) => kind === 'ClusterRole');
    const { rules } = role as unknown as { rules: readonly Rule[] };
    const granted = rules.flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) => {
          const [plural, subresource] = resource.split('/');
          const where = `${plural}${group === '' ? '' : `.${group}`}${subresource === undefined ? '' : `/${subresource}`}`;
          return verbs.map((verb) => `${verb} ${where}`);
        }),
      ),
    );
    const asked = [...AGENT_PERMISSIONS, ...CERTIFICATE_PERMISSIONS].flatMap((permission) =>
      permission.verbs.map((verb) => describePermission(permission, verb)),
    );
    assert.deepEqual(granted.sort(), asked.sort());
  });
});

describe('what the manager fills', () => {
  const shipped = readManifests(base('manager-objects.yaml'));
  const named = (kind: string) =>
    shipped
      .filter((one) => one.kind === kind)
      .map(({ metadata: { name } }) => name)
      .sort();

  it('comes without what it fills in: whoever applies it again leaves that', () => {
    assert.ok(shipped.length > 0);
    for (const object of shipped) assert.deepEqual(Object.keys(object), ['apiVersion', 'kind', 'metadata']);
  });

  it('is what its settings name', () => {
    const { webhook, tagKeys, certificates } = managerSchema.parse({});
    assert.deepEqual(named('Secret'), [webhook.secret, tagKeys.secret, certificates.secret].sort());
    assert.deepEqual(named('ConfigMap'), [certificates.bundle]);
    assert.deepEqual(named('ValidatingWebhookConfiguration'), [webhook.configuration]);
  });

  it('it may change by name, and make nothing of those kinds', () => {
    const roles = readManifests(base('rbac-manager.yaml')) as unknown as { rules?: readonly Rule[] }[];
    const rules = roles.flatMap((role) => role.rules ?? []);
    const kinds = {
      secrets: 'Secret',
      configmaps: 'ConfigMap',
      validatingwebhookconfigurations: 'ValidatingWebhookConfiguration',
    };
    for (const [resource, kind] of Object.entries(kinds)) {
      const about = rules.filter(({ resources }) => resources.includes(resource));
      assert.deepEqual(about.flatMap(({ verbs }) => verbs).sort(), ['get', 'update'], resource);
      assert.deepEqual(about.flatMap(({ resourceNames = [] }) => resourceNames).sort(), named(kind), resource);
    }
  });
});

describe('manifests as they suit a cluster', () => {
  it('name the standard image of the kustomization', () => {
    const [kustomization] = readManifests(base('kustomization.yaml')) as unknown as [
      { images: { newName: string; newTag: string }[] },
    ];
    const [{ newName, newTag } = { newName: '', newTag: '' }] = kustomization.images;
    assert.equal(`${newName}:${newTag}`, STANDARD_IMAGE);
  });

  it('have this image everywhere, and leave others alone', () => {
    const [first, ...rest] = read('agent.yaml', 'manager.yaml');
    podSpecOf(first!)!.containers.push({ name: 'other', image: 'other:1' });
    const pods = suit([first!, ...rest], { image: 'here/sallyport:2', apiVersions: NEW }).flatMap(
      (one) => podSpecOf(one) ?? [],
    );
    const images = pods.flatMap((pod) => [...(pod.initContainers ?? []), ...pod.containers]).map(({ image }) => image);
    assert.deepEqual(images.sort(), ['here/sallyport:2', 'here/sallyport:2', 'other:1']);
  });

  it('are of versions that the server knows', () => {
    const versions = (known: readonly string[]) =>
      suit(read('manager.yaml'), { image: 'x', apiVersions: new Set(known) })
        .filter(({ kind }) => kind === 'PodDisruptionBudget')
        .map(({ apiVersion }) => apiVersion);
    assert.deepEqual(versions(['v1', 'apps/v1', 'policy/v1beta1']), ['policy/v1beta1']);
    assert.deepEqual(versions([...NEW]), ['policy/v1']);
  });

  it('give more settings to agents, and to nobody else', () => {
    const settings = ['gate.enabled=false'];
    const suited = suit(read('agent.yaml', 'manager.yaml'), { image: 'x', apiVersions: NEW, agentSettings: settings });
    const args = (kind: string) => podSpecOf(suited.find((one) => one.kind === kind)!)!.containers[0]!.args;
    assert.deepEqual(args('DaemonSet'), ['--set', 'gate.enabled=false']);
    assert.deepEqual(args('Deployment'), ['manager']);
  });

  it('are read again as they were written', () => {
    const manifests = read('agent.yaml', 'manager.yaml', 'rbac-agent.yaml');
    assert.deepEqual(readManifests(writeManifests(manifests)), manifests);
  });
});

describe('what cleans a node', () => {
  const [agents] = read('agent.yaml');
  const cleanup = cleanupOf(agents!);
  const pod = podSpecOf(cleanup)!;
  const text = JSON.stringify(cleanup);

  it('is not taken for the agents', () => {
    assert.notEqual(cleanup.metadata.name, agents!.metadata.name);
    assert.ok(!text.includes('"app.kubernetes.io/name":"sallyport-agent"'));
  });

  it('ends enforcement with the rights of an agent, then removes what was written', () => {
    const [remove, directories] = pod.initContainers!;
    assert.deepEqual(
      [remove!.command, remove!.args],
      [['agent-in-pod'], ['--remove', '--set', 'api.socket=/host/run/sallyport/agent.sock']],
    );
    assert.deepEqual(remove!.securityContext, podSpecOf(agents!)!.containers[0]!.securityContext);
    assert.deepEqual(directories!.command, ['rm', '-rf', '/run-parent/sallyport', '/state-parent/sallyport']);
  });

  it('mounts no directory that it removes where it would be made again', () => {
    for (const container of pod.initContainers!) {
      const names = ((container.volumeMounts ?? []) as { name: string }[]).map(({ name }) => name);
      assert.ok(!names.includes('state'), String(container.name));
    }
  });

  it('is asked nothing while it works', () => {
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe', 'ports'])
      assert.ok(!text.includes(probe), probe);
  });
});
