import type { Credentials } from '../../src/handshake/index.ts';
import { type AgentOptions, DOMAIN, peer, TestAgent, until } from './agents.ts';
import { Authority } from './authority.ts';

/** Made anew for each describe. */
export const made = {} as { authority: Authority; certificates: readonly Credentials[] };
/** Closed after each test. */
export const opened: { close(): Promise<void> | void }[] = [];

/** Called inside a describe: hooks at the root would run for every file. */
export function useAgents(): void {
  before(async () => {
    made.authority = await Authority.create(DOMAIN);
    made.certificates = await Promise.all([0, 1, 2, 3].map((n) => made.authority.issue(`node${n}`)));
  });

  afterEach(async () => {
    await Promise.all(opened.splice(0).map((one) => one.close()));
  });
}

export function agent(number: number, options: Partial<AgentOptions> = {}): TestAgent {
  const one = new TestAgent(number, { credentials: made.certificates[number]!, ...options });
  opened.push(one.handshake);
  return one;
}

/** Two agents; node1 dials node2, which does not dial. */
export async function pair(options: { one?: Partial<AgentOptions>; two?: Partial<AgentOptions> } = {}) {
  const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)], ...options.two });
  const port = await two.port();
  const one = agent(1, { agents: [peer(2, port)], ...options.one });
  return { one, two, port };
}

export async function connected(options: Parameters<typeof pair>[0] = {}) {
  const world = await pair(options);
  const { one, two } = world;
  await until('both connected and announced', () => one.changes > 0 && two.changes > 0);
  one.carry = (conversation, token) => two.arrive(conversation, token);
  two.carry = (conversation, token) => one.arrive(conversation, token);
  return world;
}

export const conversation = (port = 4_000) => ({
  protocol: 17,
  source: { address: '10.1.0.1', port },
  destination: { address: '10.2.0.1', port: 53 },
});
