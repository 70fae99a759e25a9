import type { ConnectedOptions } from '../connected.ts';
import { ConnectedSource } from '../connected.ts';
import { SourceError } from '../error.ts';
import type { CgroupHint } from '../source.ts';
import { toCandidate } from './container.ts';
import { Engine } from './engine.ts';
import type { EngineEvent } from './messages.ts';

/** Events from this long before the subscription are asked for, so that none falls between it and the list. */
const OVERLAP_MS = 1_000;

/** Containers asked for at once, as many as the engine's connections. */
const INSPECTIONS = 8;

/** Containers of a Docker engine: subscribes to events, then lists, then follows. */
export class DockerSource extends ConnectedSource {
  readonly name = 'docker';
  readonly #options: ConnectedOptions;
  readonly #engine: Engine;
  /** Containers being asked for; true where something happened since the question. */
  readonly #asking = new Map<string, boolean>();
  /** Asks for a container, while there is a connection. */
  #inquire: (id: string) => void = () => {};
  /** What the list said of a container when it was last asked for. */
  #summaries = new Map<string, string>();

  constructor(options: ConnectedOptions) {
    super(options);
    const { socket, timeoutMs = 10_000 } = options;
    this.#options = options;
    this.#engine = new Engine({ socket, timeoutMs, connections: INSPECTIONS });
  }

  /**
   * The engine tells of containers soon enough by itself; one that ended is noticed at once. While one waits to begin
   * the engine is asked: it answers when it has started it, which it tells everybody only afterwards.
   */
  hint({ operation, name = '' }: CgroupHint): void {
    if (operation === 'removed') this.roster.changed();
    const id = /[0-9a-f]{64}/.exec(name)?.[0];
    if (operation === 'waiting' && id !== undefined) this.#inquire(id);
  }

  override async close(): Promise<void> {
    await super.close();
    await this.#engine.close();
  }

  protected async session(signal: AbortSignal, known: () => void): Promise<never> {
    const { host, resyncMs = 60_000 } = this.#options;
    const broken = Promise.withResolvers<never>();
    broken.promise.catch(() => {}); // whoever waits for it gets it; nobody may be waiting yet
    let timer: NodeJS.Timeout | undefined;
    this.#asking.clear();
    try {
      await this.#engine.negotiate(signal);
      this.#inquire = (id) => void this.#ask(id, signal).catch(broken.reject);
      const events = await this.#engine.subscribe(host.now() - OVERLAP_MS, signal);
      await this.#relist(signal);
      known();
      const again = (): void => {
        timer = setTimeout(() => this.#relist(signal).then(again, broken.reject), resyncMs);
      };
      again();
      return await Promise.race([this.#follow(events, signal, broken.reject), broken.promise]);
    } finally {
      clearTimeout(timer);
      this.#inquire = () => {};
    }
  }

  async #follow(
    events: AsyncIterable<EngineEvent>,
    signal: AbortSignal,
    onError: (thrown: unknown) => void,
  ): Promise<never> {
    for await (const event of events) {
      const id = event.Type === 'container' ? event.Actor?.ID : event.Actor?.Attributes?.container;
      if (!id) continue;
      // The process of a container that died is gone already; no need to wait for what the engine says.
      this.roster.changed();
      this.#ask(id, signal).catch(onError);
    }
    throw new SourceError('UNREACHABLE', `The engine on ${this.#options.socket} ended its events`);
  }

  /** Asks for all containers whose entry in the list is new, and for known ones that are no longer listed. */
  async #relist(signal: AbortSignal): Promise<void> {
    const listed = new Map((await this.#engine.list(signal)).map(({ id, summary }) => [id, summary]));
    const changed = [...listed].filter(([id, summary]) => this.#summaries.get(id) !== summary || !this.roster.get(id));
    const gone = this.roster.ids.filter((id) => !listed.has(id));
    this.#summaries = listed;
    this.only(listed.keys());
    await Promise.all([...changed.map(([id]) => id), ...gone].map((id) => this.#ask(id, signal)));
    this.roster.refresh();
  }

  /**
   * Asks for one container and enters the answer; once more where something happened to it meanwhile. Resolves when
   * an answer to a question not older than this call was entered, or somebody else will see to that.
   */
  async #ask(id: string, signal: AbortSignal): Promise<void> {
    if (this.#asking.has(id)) {
      this.#asking.set(id, true);
      return;
    }
    do {
      this.#asking.set(id, false);
      await this.attempt(id, async () => {
        const inspected = await this.#engine.inspect(id, signal);
        const candidate = inspected === undefined ? undefined : toCandidate(inspected, this.#options.noise);
        if (candidate === undefined) this.roster.delete(id);
        else this.roster.set(candidate);
      });
      if (signal.aborted) return;
    } while (this.#asking.get(id));
    this.#asking.delete(id);
  }
}
