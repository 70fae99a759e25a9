import { Agent } from '../agent.ts';
import { denyPort, manyRules } from '../policies.ts';
import { type Subject, timed } from '../subject.ts';
import { PORTS } from '../topology.ts';

export const CLIENT = 'bench/Unit/client';
export const SERVER = 'bench/Unit/server';

/** Entries of the kernel's tables that N rules by address need. */
export function sizesFor(rules: number): Readonly<Record<string, number>> {
  const room = Math.max(65_536, 2 ** Math.ceil(Math.log2(rules * 2)));
  return { networks: room, ports: Math.max(262_144, room), peers: 262_144 };
}

export interface SallyportSubject extends Subject {
  readonly agent: Agent;
}

/** An agent on the node, its programs on the host side of both veths, and N rules about the server. */
export function sallyport(rules: number): SallyportSubject {
  let agent: Agent | undefined;
  return {
    name: 'sallyport',
    rules,
    get agent() {
      if (!agent) throw new Error('bench: sallyport is not set up');
      return agent;
    },
    get pid() {
      return agent?.pid ?? 0;
    },
    async setUp({ node, client, server }) {
      for (const endpoint of [client, server]) {
        // Something must run in the cgroup for the agent to learn the namespace from.
        await endpoint.start(['/bin/sh', '-c', 'echo up; exec sleep 2147483647']).output(/up/);
      }
      agent = new Agent(
        node.host,
        [
          { cgroup: client.cgroup.name, workload: CLIENT },
          { cgroup: server.cgroup.name, workload: SERVER },
        ],
        sizesFor(rules),
      );
      const files = manyRules(rules, SERVER, CLIENT.split('/').slice(1).join('/'));
      for (const { file, text } of files) agent.writePolicy(file, text);
      return timed(async () => {
        agent!.start();
        await agent!.enforcing(2, files.length);
      });
    },
    async setBlocked(blocked) {
      if (blocked) agent!.writePolicy('blocked.yaml', denyPort(SERVER, PORTS.probe));
      else agent!.removePolicy('blocked.yaml');
    },
    tearDown: () => agent?.close(),
  };
}
