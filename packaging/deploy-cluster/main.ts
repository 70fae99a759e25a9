/**
 * `make deploy` and `make undeploy` with a kubeconfig.
 *   main.ts up   [--kubeconfig FILE] [--image REFERENCE] [--kustomization DIRECTORY] [--agent-set KEY=VALUE]…
 *   main.ts down [--kubeconfig FILE] [--kustomization DIRECTORY]
 */

import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { deploy } from './deploy.ts';
import { Kubectl } from './kubectl.ts';
import { undeploy } from './undeploy.ts';

const root = resolve(import.meta.dirname, '../..');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kubeconfig: { type: 'string', default: process.env.KUBECONFIG },
    image: { type: 'string', default: process.env.IMAGE },
    kustomization: { type: 'string', default: process.env.KUSTOMIZATION || resolve(root, 'k8s/base') },
    'agent-set': { type: 'string', multiple: true, default: process.env.AGENT_SET ? [process.env.AGENT_SET] : [] },
  },
});

const { kubeconfig, image, kustomization } = values;
const target = { root, kubeconfig, kustomization, kubectl: new Kubectl(kubeconfig) };
const say = (line: string): void => console.log(line);

try {
  if (positionals[0] === 'up')
    await deploy({ ...target, image: image || undefined, agentSettings: values['agent-set'] }, say);
  else if (positionals[0] === 'down') await undeploy(target, say);
  else throw new Error('wanted "up" or "down"');
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
