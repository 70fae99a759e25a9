/** The pages' examples, as they are written. */

import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { builtImage } from '../../../packaging/deploy-cluster/deploy.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { attempt, type Outcome } from '../../rig/process.ts';
import { commandsOf, fileOf } from '../documentation.ts';
import { AGENT_SET, PATIENCE_MS, ROOT, SYSTEM, type Town } from '../town.ts';

const README = ['README.md', '### In a Kubernetes cluster'] as const;
const DEPLOYING = ['docs/deploy-kubernetes.md', '# Sallyport in a Kubernetes cluster'] as const;
const WRONG = ['docs/deploy-kubernetes.md', '## When something is wrong'] as const;
/** The last one of both: it is for the end. */
export const UNDEPLOY = 'make undeploy';

/** Types a command as people do: `make` in the project, all else wherever their files are. */
export function type(town: Town, command: string, directory: string): Promise<Outcome> {
  const env = {
    KUBECONFIG: town.cluster.kubeconfig,
    AGENT_SET,
    PATH: `${join(ROOT, 'bin')}:${process.env.PATH ?? ''}`,
  };
  const cwd = command.startsWith('make ') ? ROOT : directory;
  return attempt(['/bin/sh', '-c', command], { cwd, env, timeout: 290_000 });
}

export function documented(town: () => Town): void {
  it('does what the pages say, as it is written there', async () => {
    const { cluster, shop } = town();
    const directory = mkdtempSync(join(tmpdir(), 'sallyport-test-pages-'));
    try {
      writeFileSync(join(directory, 'policy.yaml'), fileOf(...README, 'policy.yaml'));
      const [pod] = await shop.pods('api');
      const examples = [...new Set([...commandsOf(...README), ...commandsOf(...DEPLOYING)])];
      assert.equal(examples.shift(), 'export KUBECONFIG=…');
      assert.ok(examples.includes(UNDEPLOY));
      await bringImage(examples);
      await cluster.kubectl('delete', 'wnp', '--all', '-n', 'shop');
      const said = new Map<string, string>();
      const filled = await filledIn();
      for (const command of [...examples, ...commandsOf(...WRONG)].filter((one) => one !== UNDEPLOY)) {
        const line = command.replace('shop/POD', `shop/${pod!.name}`).replace(/\bNODE\b/, pod!.node);
        const { status, stdout, stderr } = await type(town(), line, directory);
        // The doctor's status says what it has found; this kernel may lack something.
        if (!line.includes('doctor')) assert.equal(status, 0, `${line}\n${stdout}${stderr}`);
        assert.notEqual(stdout.trim(), '', line);
        said.set(command, stdout);
      }
      assert.equal(await filledIn(), filled, 'deploying again leaves what the manager has filled in');
      for (const node of cluster.nodes)
        assert.match(said.get('kubectl get nodereports') ?? '', new RegExp(`^${node} `, 'm'));
      await town().asks('web', 'ok');
      await town().asks('stranger', 'refused');
      const told = async () => {
        const { stdout } = await type(town(), 'kubectl get wnp,hp -A', directory);
        return /^shop +\S*\/api +Deployment\/api .*True +True /m.test(stdout);
      };
      await waitFor('it is told that it is enforced', told, PATIENCE_MS);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  /** Secrets and what the API server asks about: they come empty. */
  async function filledIn(): Promise<string> {
    const secrets = ['sallyport-webhook', 'sallyport-tag-keys', 'sallyport-ca'].map((name) => `secret/${name}`);
    const kept = await town().field([...secrets, 'configmap/sallyport-ca', '-n', SYSTEM], '.items[*].data');
    const asked = await town().field(['validatingwebhookconfiguration', 'sallyport'], '.webhooks[*].name');
    assert.ok(kept.includes('tag-keys.json') && asked.includes('reports.sallyport.dev'));
    return `${kept} ${asked}`;
  }

  /** What a registry would bring to the nodes, under the name the pages give it. */
  async function bringImage(commands: readonly string[]): Promise<void> {
    const [, reference] = commands.map((one) => /^make deploy IMAGE=(\S+)$/.exec(one)).find(Boolean) ?? [];
    assert.ok(reference !== undefined, 'the pages deploy an image of a registry');
    const built = builtImage(ROOT)!.reference;
    for (const { name } of town().nodes) {
      const listed = (await town().ctr(name, ['images', 'ls', '--quiet'])).stdout.split('\n');
      const full = listed.find((one) => one === built || one.endsWith(`/${built}`));
      assert.ok(full !== undefined, `${name} has ${built}`);
      const { status, stderr } = await town().ctr(name, ['images', 'tag', '--force', full, reference]);
      assert.equal(status, 0, stderr);
    }
  }
}
