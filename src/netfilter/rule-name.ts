/** How our rules are known again, by nobody's memory: a name that says owner, queue and mark. */
import { argumentError, checkInteger, MAX_U32 } from './errors.ts';
import type { QueueRule } from './port.ts';

export const DEFAULT_OWNER = 'sallyport';

/** No `_`, which parts the name; short, for xtables and nft both. */
const OWNER = /^[A-Za-z][A-Za-z0-9]{0,30}$/;
const NAME = /^([A-Za-z][A-Za-z0-9]{0,30})_(\d{1,5})_([0-9a-f]{1,8})$/;

export interface Named {
  /** `sallyport_5114_1000`: the name of our table in nft, the comment of our rule in xtables. */
  readonly name: string;
  readonly owner: string;
  readonly queue: number;
  readonly mark: number;
}

/** Throws ARGUMENT unless the rule can be made. */
export function checkRule(rule: QueueRule): void {
  const attempted = 'make a rule for a queue';
  if (typeof rule !== 'object' || rule === null) throw argumentError(attempted, 'a rule is wanted');
  checkInteger(rule.queue, 0, 0xffff, 'a queue number');
  checkInteger(rule.mark, 1, MAX_U32, 'a bit of the mark');
  if ((rule.mark & (rule.mark - 1)) !== 0) throw argumentError(attempted, `mark ${hex(rule.mark)} is not one bit`);
  if (typeof rule.bypass !== 'boolean') throw argumentError(attempted, 'bypass must be true or false');
  checkOwner(rule.owner);
}

export function checkOwner(owner = DEFAULT_OWNER): string {
  if (typeof owner === 'string' && OWNER.test(owner)) return owner;
  throw argumentError(`use ${JSON.stringify(owner)} as owner of a rule`, 'it must be up to 31 letters and digits');
}

export function nameOf({ owner = DEFAULT_OWNER, queue, mark }: QueueRule): string {
  return `${owner}_${queue}_${mark.toString(16)}`;
}

/** Undefined for what is no name of ours. */
export function parseName(name: string): Named | undefined {
  const [, owner, queue, mark] = NAME.exec(name) ?? [];
  if (owner === undefined) return undefined;
  return { name, owner, queue: Number(queue), mark: Number.parseInt(mark!, 16) };
}

/** Whether an older rule has to go when this one comes: two for one mark or one queue are one too many. */
export function isReplacedBy(rule: QueueRule, older: Named): boolean {
  return older.owner === (rule.owner ?? DEFAULT_OWNER) && (older.queue === rule.queue || older.mark === rule.mark);
}

export function hex(mark: number): string {
  return `0x${mark.toString(16)}`;
}
