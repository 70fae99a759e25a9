import type { Config } from '../../agent/config.ts';
import { usesKubernetes } from '../../agent/config-kubernetes.ts';
import { loadCredentials } from '../../trust/credentials.ts';
import { TrustError } from '../../trust/error.ts';
import { readTagKeys } from '../../trust/tag-key-file.ts';
import { tagKeysAt } from '../../trust/tag-keys.ts';
import type { Check } from './judge.ts';

/** What was found out about what goes on between nodes. */
export interface BetweenFacts {
  /** Other agents are configured, or heard. */
  readonly wanted: boolean;
  /** Keys accepted now; a text: why there are none. Undefined: switched off. */
  readonly keys: number | string | undefined;
  /** When the certificate ends, milliseconds since the epoch; a text: why it is of no use. */
  readonly certificate: number | string;
  /** Why packets cannot be held. */
  readonly queueError: string | undefined;
  /** The cluster's manager signs the certificate. */
  readonly managed?: boolean;
  readonly now: number;
}

/** Looks around; changes nothing but a queue that is opened for a moment, unless an agent has it. */
export async function gatherBetween(config: Config, agentAnswers: boolean): Promise<BetweenFacts> {
  const { listen, agents } = config.handshake;
  const now = Date.now();
  return {
    wanted: listen !== 'off' || agents.length > 0,
    keys:
      config.tags.keys === 'off' ? undefined : orWhy(() => tagKeysAt(readTagKeys(config.tags.keys), now).keys.length),
    certificate: orWhy(() => loadCredentials(config.handshake, { domain: config.domain }, now).notAfter),
    queueError: agentAnswers ? undefined : await tryQueue(config.hold.queue),
    managed: usesKubernetes(config.kubernetes) && config.kubernetes.certificates,
    now,
  };
}

function orWhy(read: () => number): number | string {
  try {
    return read();
  } catch (error) {
    if (error instanceof TrustError) return error.message;
    throw error;
  }
}

async function tryQueue(number: number): Promise<string | undefined> {
  try {
    const { PacketQueue } = await import('../../netfilter/index.ts');
    const fail = (): void => {};
    PacketQueue.open({ number, maxPackets: 1, onPackets: fail, onError: fail }).close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** What it means: pure. */
export function judgeBetween({ wanted, keys, certificate, queueError, managed, now }: BetweenFacts): Check[] {
  const checks: Check[] = [];
  if (typeof keys === 'number') checks.push({ name: 'tag keys', state: 'ok', found: `${keys} accepted` });
  else if (keys !== undefined) {
    const state = wanted ? 'warn' : 'info';
    checks.push({
      name: 'tag keys',
      state,
      found: `${keys}; TCP between nodes needs handshakes`,
      hint: 'sallyport keys init',
    });
  }
  if (!wanted) return [...checks, { name: 'handshake', state: 'info', found: 'no other agent is configured' }];
  checks.push(
    typeof certificate === 'number'
      ? { name: 'certificate', state: 'ok', found: `good for ${lifeText(certificate - now)}` }
      : {
          name: 'certificate',
          state: 'fail',
          found: certificate,
          hint: managed === true ? 'the manager signs it: kubectl get csr, and its log' : 'sallyport ca issue NODE',
        },
    queueError === undefined
      ? { name: 'hold', state: 'ok', found: 'the kernel has NFQUEUE' }
      : {
          name: 'hold',
          state: 'warn',
          found: `${queueError}; datagrams to unknown peers are dropped where a policy restricts their source`,
          hint: 'modprobe nfnetlink_queue',
        },
  );
  return checks;
}

/** In hours where it is short: those that a manager signs are. */
function lifeText(ms: number): string {
  const hours = Math.floor(ms / 3_600_000);
  return hours < 72 ? `${hours} hours` : `${Math.floor(hours / 24)} days`;
}
