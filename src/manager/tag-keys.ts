import type { Logger } from 'pino';
import { KubernetesError } from '../sources/kubernetes/error.ts';
import { asTrustError, type TrustError } from '../trust/error.ts';
import { firstTagKeys, formatTagKeys, parseTagKeys, rotateTagKeys, type TagKeyFile } from '../trust/tag-keys.ts';
import type { SecretKeeper } from './secrets.ts';

/** The key of the secret's data: what the file is called where the secret is mounted. */
export const TAG_KEYS_FILE = 'tag-keys.json';

export interface TagKeyPlan {
  /** How long a key signs, milliseconds; 0: for ever. */
  readonly rotateMs: number;
  /** Until a new key signs: time for it to reach every node, milliseconds. */
  readonly activateInMs: number;
}

/** How long after a new key signs the old ones are accepted: connections that just began. Milliseconds. */
const KEEP_MS = 10 * 60_000;

/** What there should be; undefined: what there is. @throws TrustError where the next key cannot be made yet */
export function nextTagKeys(file: TagKeyFile | undefined, plan: TagKeyPlan, now: number): TagKeyFile | undefined {
  if (file === undefined) {
    const { keys, ...rest } = firstTagKeys();
    return { ...rest, keys: keys.map((key) => ({ ...key, activates: now })) };
  }
  if (plan.rotateMs === 0) return undefined;
  const newest = file.keys.reduce((a, b) => (b.epoch > a.epoch ? b : a));
  // A key without a time was made by hand, and has signed for who knows how long.
  if (newest.activates !== undefined && now < newest.activates + plan.rotateMs - plan.activateInMs) return undefined;
  return rotateTagKeys(file, { now, activateInMs: plan.activateInMs, keepMs: KEEP_MS });
}

/** Keeps the domain's tag keys in a secret, which the agents mount. */
export class TagKeys {
  readonly #secret: SecretKeeper;
  readonly #plan: TagKeyPlan;
  readonly #logger: Pick<Logger, 'info' | 'error'>;
  readonly #now: () => number;
  #told = '';

  constructor(options: {
    readonly secret: SecretKeeper;
    readonly plan: TagKeyPlan;
    readonly logger: Pick<Logger, 'info' | 'error'>;
    readonly now: () => number;
  }) {
    this.#secret = options.secret;
    this.#plan = options.plan;
    this.#logger = options.logger;
    this.#now = options.now;
  }

  /** Makes, or rotates, where that is due. @throws KubernetesError */
  async round(signal: AbortSignal): Promise<void> {
    const present = await this.#secret.read(signal);
    const next = this.#next(present.texts[TAG_KEYS_FILE]);
    if (next === undefined) return;
    try {
      await this.#secret.write({ ...present.texts, [TAG_KEYS_FILE]: formatTagKeys(next) }, present, signal);
    } catch (thrown) {
      // Somebody was faster; the next round sees what is there.
      if (thrown instanceof KubernetesError && thrown.code === 'CONFLICT') return;
      throw thrown;
    }
    const epochs = next.keys.map(({ epoch }) => epoch);
    this.#logger.info(
      { epochs, signing: next.signing },
      present.texts[TAG_KEYS_FILE] === undefined ? 'Tag keys are made' : 'A tag key is added',
    );
  }

  #next(text: string | undefined): TagKeyFile | undefined {
    try {
      const file = text === undefined ? undefined : parseTagKeys(text, 'of the secret');
      return nextTagKeys(file, this.#plan, this.#now());
    } catch (thrown) {
      // Keys that cannot be read are somebody's; nobody overwrites them.
      this.#tell(asTrustError(thrown, 'INVALID', 'rotate the tag keys'));
      return undefined;
    }
  }

  #tell(error: TrustError): void {
    if (error.message !== this.#told)
      this.#logger.error({ err: error, hint: error.hint }, 'Cannot rotate the tag keys');
    this.#told = error.message;
  }
}
