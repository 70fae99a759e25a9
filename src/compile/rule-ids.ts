import { contentId32 } from './hash.ts';

/** What a rule's number is made from: policy kind, namespace, name, direction, and its name, index or `default`. */
export type RuleKey = readonly [kind: string, namespace: string, policy: string, direction: string, rule: string];

/** The number a rule has unless another one's is the same. No part can hold the separator. */
export function preferredRuleId(key: RuleKey): number {
  return contentId32(key.join('\0'));
}

const MOST = 0xffff_ffff;

/**
 * Numbers for all rules, none 0 and none twice, whatever order they come in: by preferred number, then by key, each
 * takes its own or the next one that is free.
 * @param preferred number and key of each rule
 * @returns numbers in the order of the argument
 */
export function assignRuleIds(preferred: readonly { readonly id: number; readonly key: string }[]): number[] {
  const order = preferred.map((_, i) => i);
  order.sort((a, b) => {
    const [x, y] = [preferred[a], preferred[b]];
    if (x === undefined || y === undefined) return 0;
    return x.id - y.id || (x.key < y.key ? -1 : 1);
  });
  const ids: number[] = new Array(preferred.length);
  const late: number[] = [];
  let last = 0;
  for (const i of order) {
    const id = Math.max(preferred[i]?.id ?? 1, last + 1);
    if (id > MOST) {
      late.push(i);
    } else {
      ids[i] = id;
      last = id;
    }
  }
  // Past the end, the lowest free ones.
  const taken = late.length === 0 ? undefined : new Set(ids);
  let free = 1;
  for (const i of late) {
    while (taken?.has(free)) free++;
    ids[i] = free++;
  }
  return ids;
}
