/** Ways of an image to the nodes that need no registry: only for clusters whose nodes are on this machine. */

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';

const run = promisify(execFile);

/** What a cluster of test/cluster writes beside its kubeconfig. */
const Nodes = z.object({ nodes: z.array(z.object({ name: z.string(), socket: z.string() })) });

export interface LocalNode {
  readonly name: string;
  load(archive: string): Promise<void>;
}

/** The nodes whose runtimes can be reached from here; undefined where they cannot. */
export function localNodes(kubeconfig: string | undefined): readonly LocalNode[] | undefined {
  if (kubeconfig === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(join(dirname(kubeconfig), 'nodes.json'), 'utf8');
  } catch {
    return undefined; // somebody's real cluster
  }
  return Nodes.parse(JSON.parse(text)).nodes.map(({ name, socket }) => ({
    name,
    load: async (archive) => {
      await run('ctr', ['--address', socket, '--namespace', 'k8s.io', 'images', 'import', archive]);
    },
  }));
}
