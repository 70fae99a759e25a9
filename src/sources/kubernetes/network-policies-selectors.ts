/** Label selectors of Kubernetes, and which namespaces and nodes they mean. */
import { type LabelExpression, meets, sortedExpressions } from '../../model/label-expression.ts';
import { NameSet } from '../../model/name-set.ts';
import { fieldsOf, listOf, mappingOf, textOf, Unreadable, unreadable } from './network-policies-reading.ts';

type Labels = Readonly<Record<string, string>>;

/** A selector in the form that equal ones share. */
export interface LabelSelector {
  readonly labels: Labels;
  /** By `sortedExpressions`. */
  readonly expressions: readonly LabelExpression[];
  /** Equal where the selectors are. */
  readonly text: string;
}

const KEY = /^(?=.{1,317}$)([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const satisfies readonly LabelExpression['operator'][];

/** For as long as their objects are kept: what a namespace changes is translated again, and they are the most of it. */
const known = new WeakMap<object, LabelSelector>();

/** @throws Unreadable */
export function readLabelSelector(value: unknown, path: string): LabelSelector {
  const key = typeof value === 'object' && value !== null ? value : undefined;
  const read = key === undefined ? undefined : known.get(key);
  if (read !== undefined) return read;
  const made = makeLabelSelector(value, path);
  if (key !== undefined) known.set(key, made);
  return made;
}

function makeLabelSelector(value: unknown, path: string): LabelSelector {
  const { matchLabels, matchExpressions } = fieldsOf(value, path, ['matchLabels', 'matchExpressions']);
  const labels: Record<string, string> = {};
  for (const [key, wanted] of Object.entries(matchLabels === undefined ? {} : mappingOf(matchLabels, path))) {
    const at = `${path}.matchLabels`;
    labels[textOf(key, at, KEY, "a label's key")] = textOf(wanted, `${at}.${key}`, VALUE, "a label's value");
  }
  const expressions: LabelExpression[] = [];
  for (const [i, written] of listOf(matchExpressions, `${path}.matchExpressions`).entries()) {
    const expression = readExpression(written, `${path}.matchExpressions[${i}]`);
    const [only] = expression.values;
    // One of one value is a label like any other, unless another value is wanted too.
    const single = expression.operator === 'In' && expression.values.length === 1 && only !== undefined;
    if (single && (!Object.hasOwn(labels, expression.key) || labels[expression.key] === only)) {
      labels[expression.key] = only;
    } else {
      expressions.push(expression);
    }
  }
  const sorted = sortedExpressions(expressions);
  const keyed = Object.keys(labels)
    .sort()
    .map((key) => [key, labels[key]]);
  const text = JSON.stringify([keyed, sorted.map(({ key, operator, values }) => [key, operator, values])]);
  return { labels, expressions: sorted, text };
}

function readExpression(value: unknown, path: string): LabelExpression {
  const fields = fieldsOf(value, path, ['key', 'operator', 'values']);
  const key = textOf(fields.key, `${path}.key`, KEY, "a label's key");
  const operator = OPERATORS.find((known) => known === fields.operator);
  if (operator === undefined) throw unreadable(`${path}.operator`, fields.operator, OPERATORS.join(', '));
  const values = listOf(fields.values, `${path}.values`).map((one, i) =>
    textOf(one, `${path}.values[${i}]`, VALUE, "a label's value"),
  );
  const listing = operator === 'In' || operator === 'NotIn';
  if (listing !== values.length > 0) {
    throw new Unreadable(`${path}.values`, `${values.length} values`, listing ? 'at least one' : 'none');
  }
  return { key, operator, values: [...new Set(values)].sort() };
}

/** Whether labels are meant. */
export function matchesLabels({ labels, expressions }: LabelSelector, given: Labels): boolean {
  return (
    Object.entries(labels).every(([key, value]) => Object.hasOwn(given, key) && given[key] === value) &&
    expressions.every((expression) => meets(expression, given))
  );
}

export function isEmpty({ labels, expressions }: LabelSelector): boolean {
  return expressions.length === 0 && Object.keys(labels).length === 0;
}

/** Which namespaces a selector of ours is to mean. */
export interface MeantNamespaces {
  /** A name, or `*`. */
  readonly namespace: string;
  readonly namespaces?: NameSet;
}

/** What else there is in a cluster that policies refer to. */
export interface NodeFacts {
  readonly labels: Labels;
  /** Canonical text, IPv4 or IPv6. */
  readonly addresses: readonly string[];
}

const LITERAL = /^[A-Za-z0-9._:@-]+$/;

/** The namespaces and nodes of one moment; each selector is looked up once. */
export class Surroundings {
  readonly #namespaces: ReadonlyMap<string, Labels>;
  readonly #nodes: ReadonlyMap<string, NodeFacts> | undefined;
  readonly #meant = new Map<string, MeantNamespaces>();
  #own: NameSet | undefined;
  readonly #addresses = new Map<string, readonly string[] | undefined>();

  constructor(namespaces: ReadonlyMap<string, Labels>, nodes?: ReadonlyMap<string, NodeFacts>) {
    this.#namespaces = namespaces;
    this.#nodes = nodes;
  }

  namespaces(selector: LabelSelector): MeantNamespaces {
    let meant = this.#meant.get(selector.text);
    if (meant === undefined) {
      meant = this.#find(selector);
      this.#meant.set(selector.text, meant);
    }
    return meant;
  }

  /** The same, by name where it means all: there may be others than the cluster's, whose policies are not the cluster's. */
  ownNamespaces(selector: LabelSelector): MeantNamespaces {
    this.#own ??= new NameSet(this.#namespaces.keys());
    return isEmpty(selector) ? { namespace: '*', namespaces: this.#own } : this.namespaces(selector);
  }

  /** Sorted; undefined where nothing is known of nodes. */
  nodeAddresses(selector: LabelSelector): readonly string[] | undefined {
    if (this.#nodes === undefined) return undefined;
    let addresses = this.#addresses.get(selector.text);
    if (addresses === undefined) {
      const nodes = [...this.#nodes.values()].filter(({ labels }) => matchesLabels(selector, labels));
      addresses = [...new Set(nodes.flatMap((node) => node.addresses))].sort();
      this.#addresses.set(selector.text, addresses);
    }
    return addresses;
  }

  #find(selector: LabelSelector): MeantNamespaces {
    if (isEmpty(selector)) return { namespace: '*' };
    const names: string[] = [];
    for (const [name, labels] of this.#namespaces) if (matchesLabels(selector, labels)) names.push(name);
    const [only] = names;
    if (only !== undefined && names.length === 1 && LITERAL.test(only)) return { namespace: only };
    return { namespace: '*', namespaces: new NameSet(names) };
  }
}

/** A question and its answer, as text. */
interface Asked {
  readonly about: 'namespaces' | 'own' | 'nodes';
  readonly selector: LabelSelector;
  readonly answer: string;
}

/** What a translation asked of its surroundings: it holds as long as the answers are the same. */
export class Questions {
  #surroundings: Surroundings;
  readonly #asked: Asked[] = [];

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  namespaces(selector: LabelSelector): MeantNamespaces {
    this.#note('namespaces', selector);
    return this.#surroundings.namespaces(selector);
  }

  ownNamespaces(selector: LabelSelector): MeantNamespaces {
    this.#note('own', selector);
    return this.#surroundings.ownNamespaces(selector);
  }

  nodeAddresses(selector: LabelSelector): readonly string[] | undefined {
    this.#note('nodes', selector);
    return this.#surroundings.nodeAddresses(selector);
  }

  /** Whether other surroundings answer the same. */
  hold(surroundings: Surroundings): boolean {
    if (surroundings === this.#surroundings) return true;
    for (const asked of this.#asked) if (answerOf(surroundings, asked) !== asked.answer) return false;
    this.#surroundings = surroundings;
    return true;
  }

  #note(about: Asked['about'], selector: LabelSelector): void {
    this.#asked.push({ about, selector, answer: answerOf(this.#surroundings, { about, selector }) });
  }
}

function answerOf(of: Surroundings, { about, selector }: Omit<Asked, 'answer'>): string {
  if (about === 'nodes') return of.nodeAddresses(selector)?.join() ?? 'unknown';
  const { namespace, namespaces } = about === 'own' ? of.ownNamespaces(selector) : of.namespaces(selector);
  return namespaces === undefined ? namespace : `{${namespaces.text}}`;
}
