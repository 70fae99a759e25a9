/** Requirements on labels beyond equality, as Kubernetes' selectors have them. */

export interface LabelExpression {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  /** Sorted, each once; empty for `Exists` and `DoesNotExist`. */
  readonly values: readonly string[];
}

type Labels = Readonly<Record<string, string>>;

/** Whether labels meet a requirement. `NotIn` is met by who does not have the label at all. */
export function meets({ key, operator, values }: LabelExpression, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  if (operator === 'Exists') return value !== undefined;
  if (operator === 'DoesNotExist') return value === undefined;
  const listed = value !== undefined && values.includes(value);
  return operator === 'In' ? listed : !listed;
}

/** Whether no labels meet both: seen only where one key decides it. */
export function excludes(a: LabelExpression, b: LabelExpression): boolean {
  if (a.key !== b.key) return false;
  const [absent, other] = a.operator === 'DoesNotExist' ? [a, b] : [b, a];
  if (absent.operator === 'DoesNotExist') return other.operator === 'In' || other.operator === 'Exists';
  if (a.operator === 'In' && b.operator === 'In') return !a.values.some((value) => b.values.includes(value));
  const [listed, unlisted] = a.operator === 'In' ? [a, b] : [b, a];
  if (listed.operator !== 'In' || unlisted.operator !== 'NotIn') return false;
  return listed.values.every((value) => unlisted.values.includes(value));
}

export function sameExpression(a: LabelExpression, b: LabelExpression): boolean {
  return (
    a === b ||
    (a.key === b.key &&
      a.operator === b.operator &&
      a.values.length === b.values.length &&
      a.values.every((value, i) => value === b.values[i]))
  );
}

/** `key in (a,b)`, `key notin (a)`, `key`, `!key`. */
export function formatExpression({ key, operator, values }: LabelExpression): string {
  if (operator === 'Exists') return key;
  if (operator === 'DoesNotExist') return `!${key}`;
  return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`;
}

/** In the order that equal lists share. */
export function sortedExpressions(expressions: readonly LabelExpression[]): LabelExpression[] {
  const keyed = new Map(expressions.map((expression) => [formatExpression(expression), expression]));
  return [...keyed].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, expression]) => expression);
}
