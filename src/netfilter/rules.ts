import { type Backend, BackendError, ruleError } from './backend.ts';
import { argumentError } from './errors.ts';
import { iptablesLegacy, iptablesNft } from './iptables.ts';
import { nftBackend } from './nft.ts';
import type { InstalledRule, QueueRule, RuleBackend } from './port.ts';
import { checkOwner, checkRule, hex, isReplacedBy, type Named, nameOf } from './rule-name.ts';

/** In the order they are tried. */
const BACKENDS: readonly Backend[] = [nftBackend, iptablesNft, iptablesLegacy];

/**
 * Leads packets with the mark into the queue, in this process's network namespace: one rule for IPv4 and one for IPv6,
 * after DNAT, before SNAT and before anybody else's, made with the first backend that can. An older one of the same owner
 * with the same queue or mark is replaced, whichever backend made it. Nothing is left of an attempt that fails.
 * @throws NetfilterError RULE, PERMISSION, ARGUMENT
 */
export async function installQueueRule(
  rule: QueueRule,
  backend: RuleBackend | 'auto' = 'auto',
): Promise<InstalledRule> {
  checkRule(rule);
  const wanted = backend === 'auto' ? BACKENDS : BACKENDS.filter(({ kind }) => kind === backend);
  const attempted = `lead packets with mark ${hex(rule.mark)} to queue ${rule.queue}`;
  if (wanted.length === 0) throw argumentError(attempted, `there is no backend ${JSON.stringify(backend)}`);
  const failures: BackendError[] = [];
  for (const one of wanted) {
    try {
      return await install(one, rule);
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      failures.push(error);
    }
  }
  throw ruleError(attempted, failures);
}

/**
 * Removes rules of ours whoever made them, say a process that died: of one queue, or of all. Returns how many there were.
 * @throws NetfilterError RULE, PERMISSION, ARGUMENT
 */
export async function removeQueueRules(
  options: { readonly owner?: string; readonly queue?: number } = {},
): Promise<number> {
  const owner = checkOwner(options.owner);
  const { queue } = options;
  const removed = await sweep(BACKENDS, owner, (named) => queue === undefined || named.queue === queue);
  return removed;
}

async function install(backend: Backend, rule: QueueRule): Promise<InstalledRule> {
  const owner = checkOwner(rule.owner);
  const older = (await backend.find(owner)).filter((named) => isReplacedBy(rule, named));
  const made = await backend.replace(rule, older);
  try {
    await sweep(
      BACKENDS.filter((other) => other !== backend),
      owner,
      (named) => isReplacedBy(rule, named),
    );
  } catch (error) {
    await made.undo();
    throw error;
  }
  const attempted = `remove the rule for queue ${rule.queue}`;
  return {
    backend: backend.kind,
    families: made.families,
    verify: () => raising(`look for the rule for queue ${rule.queue}`, made.verify()),
    remove: () => raising(attempted, backend.remove([nameOf(rule)])),
  };
}

/** What cannot be listed because the kernel or the system lacks it cannot hold a rule of ours. */
async function sweep(backends: readonly Backend[], owner: string, matches: (named: Named) => boolean): Promise<number> {
  let removed = 0;
  for (const backend of backends) {
    const found = await backend.find(owner).catch((error: unknown) => {
      if (!(error instanceof BackendError)) throw error;
      if (error.refused) throw ruleError('look for rules of ours', [error]);
      return [];
    });
    const names = found.filter(matches).map(({ name }) => name);
    if (names.length === 0) continue;
    await raising(`remove ${names.join(', ')}`, backend.remove(names));
    removed += names.length;
  }
  return removed;
}

async function raising<T>(attempted: string, promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw error instanceof BackendError ? ruleError(attempted, [error]) : error;
  }
}
