import * as z from 'zod';
import { deriveIdentity } from '../model/identity.ts';
import { selects } from '../model/selector.ts';
import type { Workload } from '../model/workload.ts';
import type { AnnouncedIdentity } from './port.ts';
import { type AgentSettings, workloadPatterns } from './routes.ts';

const text = z.string().max(1_024);

const savedSchema = z.object({
  agent: text,
  namespace: text,
  kind: text,
  name: text,
  container: text,
  labels: z.record(text, text),
  ports: z.array(z.object({ name: text, protocol: z.enum(['TCP', 'UDP', 'SCTP']), port: z.int().min(1).max(65_535) })),
});

/** What an agent has announced, as it is stored: plain values that JSON can hold. */
export type SavedAnnouncement = z.infer<typeof savedSchema>;

export function saveAnnouncement(agent: string, announced: AnnouncedIdentity): SavedAnnouncement {
  const { workload, container, labels, ports } = announced;
  const { namespace, kind, name } = workload;
  return { agent, namespace, kind, name, container, labels: { ...labels }, ports: [...ports] };
}

/**
 * What agents announced to an earlier life of this one, as far as they still may, for as long as they have not been
 * heard again: a container there goes on, and so do its conversations, whether its agent can be reached or not.
 */
export class Remembered {
  #agents = new Map<string, AnnouncedIdentity[]>();

  /** Values that {@link saveAnnouncement} has not made are left out. @throws HandshakeError SETTINGS */
  constructor(domain: string, agents: readonly AgentSettings[], values: Iterable<unknown>) {
    const patterns = new Map(agents.map((settings) => [settings.name, workloadPatterns(settings)]));
    for (const value of values) {
      const parsed = savedSchema.safeParse(value);
      if (!parsed.success) continue;
      const { agent, namespace, kind, name, container, labels, ports } = parsed.data;
      const attributes = { workload: { namespace, kind, name }, container, labels };
      if (!mayAnnounce(patterns.get(agent) ?? [], attributes)) continue;
      const known = this.#agents.get(agent) ?? [];
      known.push({ ...deriveIdentity(domain, attributes), ports });
      this.#agents.set(agent, known);
    }
  }

  /** Only these may have announced anything. @throws HandshakeError SETTINGS, and goes on with the former ones */
  setAgents(agents: readonly AgentSettings[]): void {
    const patterns = new Map(agents.map((settings) => [settings.name, workloadPatterns(settings)]));
    this.#agents = new Map(
      [...this.#agents].map(([agent, known]) => {
        const permitted = known.filter((one) => mayAnnounce(patterns.get(agent) ?? [], one));
        return [agent, permitted];
      }),
    );
  }

  /** It says itself now what it runs. */
  heard(agent: string): void {
    this.#agents.delete(agent);
  }

  /** Of all agents that have not been heard. */
  byAgent(): ReadonlyMap<string, readonly AnnouncedIdentity[]> {
    return this.#agents;
  }
}

/** Whether one of the patterns an agent is configured with covers the workload. */
export function mayAnnounce(
  patterns: readonly Workload[],
  attributes: Pick<AnnouncedIdentity, 'workload' | 'container' | 'labels'>,
): boolean {
  return patterns.some((workload) => selects({ workload, container: '*', labels: {} }, attributes));
}
