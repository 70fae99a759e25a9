import { isDeepStrictEqual } from 'node:util';
import type { NodeReportStatus } from '../../model/schema/node-report.ts';
import type { KubernetesClient } from '../../sources/kubernetes/client.ts';
import { asKubernetesError } from '../../sources/kubernetes/error.ts';
import { type LooseObject, NODE_REPORTS } from '../../sources/kubernetes/resource.ts';

export interface ReporterOptions {
  readonly client: Pick<KubernetesClient, 'apply'>;
  readonly node: string;
  /** How this node stands now. */
  readonly report: () => NodeReportStatus;
  /** The cluster does not take it; told once until it does. */
  readonly onFault: (error: Error) => void;
  /** A change is reported this much later at the most, milliseconds. Default 1,000. */
  readonly changeMs?: number;
  /** A report is given this often at the least, milliseconds. Default 60,000. */
  readonly beatMs?: number;
}

const OWNER = { fieldManager: 'sallyport-agent', force: true } as const;
/** How long one attempt may take, milliseconds. */
const ATTEMPT_MS = 10_000;

/**
 * Tells the cluster how this node stands: when that changed, at most once a second, and each minute. It is of no
 * importance to what is enforced: nobody waits for it.
 */
export class Reporter {
  readonly counts = { written: 0, failed: 0 };
  readonly #options: ReporterOptions;
  readonly #ending = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #writing: Promise<void> | undefined;
  /** What the cluster was last told, without the time. */
  #told: object | undefined;
  #failing = false;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /** Something may have changed. */
  changed(): void {
    this.#schedule(this.#options.changeMs ?? 1_000);
  }

  /** The last failure was told, and nothing has worked since. */
  get failing(): boolean {
    return this.#failing;
  }

  async close(): Promise<void> {
    this.#ending.abort();
    clearTimeout(this.#timer);
    await this.#writing;
  }

  #schedule(ms: number): void {
    const at = performance.now() + ms;
    if (this.#ending.signal.aborted || this.#writing !== undefined || at >= this.#dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = at;
    this.#timer = setTimeout(() => {
      this.#writing = this.#write().finally(() => {
        this.#writing = undefined;
        this.#dueAt = Number.POSITIVE_INFINITY;
        this.#schedule(this.#next());
      });
    }, ms);
  }

  /** Changes that came while one was written are found by looking again. */
  #next(): number {
    const { changeMs = 1_000, beatMs = 60_000 } = this.#options;
    if (this.#failing) return beatMs;
    try {
      return isDeepStrictEqual(withoutTime(this.#options.report()), this.#told) ? beatMs : changeMs;
    } catch {
      // Told when it is to be written and fails again.
      return changeMs;
    }
  }

  async #write(): Promise<void> {
    const { client, node, report, onFault } = this.#options;
    const signal = AbortSignal.any([this.#ending.signal, AbortSignal.timeout(ATTEMPT_MS)]);
    const metadata = { name: node, labels: { 'app.kubernetes.io/managed-by': 'sallyport' } };
    const object: LooseObject = { metadata, spec: { node } };
    try {
      const status = report();
      if (this.#told === undefined) await client.apply(NODE_REPORTS, object, { ...OWNER, signal });
      const told: LooseObject = { metadata: { name: node }, status };
      await client.apply(NODE_REPORTS, told, { ...OWNER, subresource: 'status', signal });
      this.counts.written += 1;
      this.#told = withoutTime(status);
      this.#failing = false;
    } catch (thrown) {
      if (this.#ending.signal.aborted) return;
      this.counts.failed += 1;
      // It may have been removed: it is made again next time.
      this.#told = undefined;
      if (!this.#failing) onFault(asKubernetesError(thrown, 'report to the cluster'));
      this.#failing = true;
    }
  }
}

function withoutTime({ observedAt: _, ...rest }: NodeReportStatus): object {
  return rest;
}
