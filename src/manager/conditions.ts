/** What is to be said of an object; when it became so is known from what was said before. */
export interface Said<T extends string> {
  readonly type: T;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

/** As it stands in a status. */
export type Condition<T extends string> = Said<T> & {
  readonly lastTransitionTime: string;
  readonly observedGeneration: number;
};

/** Longest message; more is cut. The API allows 32 KiB, people do not. */
const LONGEST = 2_048;

/** Conditions with their times: a condition's is that of its status, not of its words. */
export function conditionsOf<T extends string>(
  said: readonly Said<T>[],
  before: readonly { readonly type: string; readonly status: string; readonly lastTransitionTime: string }[] = [],
  observedGeneration: number,
  now: number,
): Condition<T>[] {
  return said.map((one) => {
    const old = before.find(({ type }) => type === one.type);
    const since = old?.status === one.status ? old.lastTransitionTime : timeOf(now);
    const message = one.message.length > LONGEST ? `${one.message.slice(0, LONGEST - 3)}...` : one.message;
    return { ...one, message, lastTransitionTime: since, observedGeneration };
  });
}

/** As `metav1.Time` is written: whole seconds. */
export function timeOf(now: number): string {
  return new Date(now).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** `a`, `a and b`, `a, b and 3 more`: at most `most` names. */
export function listed(names: readonly string[], most = 3): string {
  const shown = names.slice(0, most);
  const more = names.length - shown.length;
  if (more > 0) return `${shown.join(', ')} and ${more} more`;
  return shown.length < 2 ? shown.join('') : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`;
}

/** `1 node`, `2 nodes`. */
export function counted(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
