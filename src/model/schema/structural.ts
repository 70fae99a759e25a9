/**
 * The structural schemas of Kubernetes, from ours. They are JSON Schema with less in it: no references, no unions but
 * of a number and a text, no field that is only described where it is combined.
 */
import * as z from 'zod';

/** A rule over several fields in CEL; servers before 1.25 ignore it. */
export interface Validation {
  readonly rule: string;
  readonly message: string;
}

/** What a schema says to Kubernetes beside what it says itself. */
interface Extras {
  readonly validations?: readonly Validation[];
  /**
   * Most entries of a list there. The server multiplies these to bound what checking rules of CEL may cost, and
   * refuses the definition where it is too much.
   */
  readonly maxItems?: number;
  /** Fields of which each entry of the list has others: what entries are told apart by when written by several. */
  readonly mapKeys?: readonly string[];
  /** Any object: what is in it is not described. */
  readonly opaque?: boolean;
  /** Null passes there: servers built with some versions of Go take an empty text for it. */
  readonly nullable?: boolean;
}

export const kubernetes = z.registry<Extras>();

export interface Structural {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Structural>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Structural;
  readonly items?: Structural;
  readonly 'x-kubernetes-int-or-string'?: true;
  readonly [keyword: string]: unknown;
}

export interface StructuralOptions {
  /**
   * Keep fields that are not described, so that whoever judges the object sees them. Else the server drops them
   * silently: of a rule with a misspelt `ports` a rule for every port would be left.
   */
  readonly keepUnknown: boolean;
}

const EXTRAS = 'x-extras';

type Node = z.core.JSONSchema.BaseSchema;

/** @throws Error where the schema says what a structural one cannot */
export function structuralSchema(schema: z.ZodType, options: StructuralOptions): Structural {
  const plain = z.toJSONSchema(schema, {
    target: 'draft-7',
    io: 'input',
    override: ({ zodSchema, jsonSchema }) => {
      const extras = zodSchema instanceof z.ZodType ? kubernetes.get(zodSchema) : undefined;
      if (extras !== undefined) jsonSchema[EXTRAS] = extras;
    },
  });
  return structural(plain, options, '');
}

/** What is taken over as it is. */
const KEPT = ['enum', 'pattern', 'format', 'minLength', 'maxLength', 'minimum', 'maximum', 'minItems', 'maxItems'];
const DROPPED = ['$schema', 'title', 'propertyNames', 'uniqueItems', EXTRAS];
const DONE_HERE = ['type', 'description', 'default', 'const', 'anyOf', 'properties', 'required', 'items'];
const KNOWN = new Set([...KEPT, ...DROPPED, ...DONE_HERE, 'additionalProperties', 'maxProperties']);

function structural(node: Node, options: StructuralOptions, at: string): Structural {
  for (const keyword of Object.keys(node)) {
    if (!KNOWN.has(keyword)) throw new Error(`cannot write ${at} as a structural schema: it has ${keyword}`);
  }
  const extras = node[EXTRAS] as Extras | undefined;
  const description = describe(node);
  return {
    ...(description === undefined ? {} : { description }),
    ...(node.anyOf === undefined ? typed(node, options, at) : intOrString(node.anyOf as Node[], at)),
    ...(extras?.maxItems === undefined ? {} : { maxItems: extras.maxItems }),
    ...(extras?.nullable === true ? { nullable: true } : {}),
    ...(extras?.opaque === true ? { 'x-kubernetes-preserve-unknown-fields': true } : {}),
    ...(extras?.mapKeys === undefined
      ? {}
      : { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': extras.mapKeys }),
    ...(extras?.validations === undefined ? {} : { 'x-kubernetes-validations': extras.validations }),
  };
}

function typed(node: Node, options: StructuralOptions, at: string): Structural {
  if (node.const !== undefined) return { type: typeof node.const, enum: [node.const] };
  // The server has formats of its own for what zod spells out.
  const names = node.format === undefined ? KEPT : KEPT.filter((name) => name !== 'pattern');
  const kept = Object.fromEntries(names.flatMap((name) => (node[name] === undefined ? [] : [[name, node[name]]])));
  const type = node.type;
  if (typeof type !== 'string') throw new Error(`cannot write ${at} as a structural schema: it has no one type`);
  if (type === 'array') {
    const items = structural(node.items as Node, options, `${at}[]`);
    return { type, ...kept, ...(node.uniqueItems === true ? { 'x-kubernetes-list-type': 'set' } : {}), items };
  }
  return type === 'object' ? objectOf(node, options, at) : { type, ...kept };
}

function objectOf(node: Node, options: StructuralOptions, at: string): Structural {
  const { properties, required, additionalProperties, maxProperties } = node;
  if (properties === undefined) {
    if (typeof additionalProperties !== 'object') return { type: 'object' };
    const values = structural(additionalProperties as Node, options, `${at}.*`);
    return { type: 'object', additionalProperties: values, ...(maxProperties === undefined ? {} : { maxProperties }) };
  }
  return {
    type: 'object',
    ...(required === undefined || required.length === 0 ? {} : { required }),
    properties: Object.fromEntries(
      Object.entries(properties).map(([name, field]) => [name, structural(field as Node, options, `${at}.${name}`)]),
    ),
    ...(options.keepUnknown ? { 'x-kubernetes-preserve-unknown-fields': true } : {}),
  };
}

/** The one union there is. Bounds of numbers and patterns of texts can stand side by side: each looks at its own. */
function intOrString(options: readonly Node[], at: string): Structural {
  const [number, text, ...others] = [...options].sort((a, b) => (String(a.type) < String(b.type) ? -1 : 1));
  if (number?.type !== 'integer' || text?.type !== 'string' || others.length > 0) {
    throw new Error(`cannot write ${at} as a structural schema: a union of other than one number and one text`);
  }
  const { minimum, maximum } = number;
  const { maxLength } = text;
  return {
    'x-kubernetes-int-or-string': true,
    ...(minimum === undefined ? {} : { minimum }),
    ...(maximum === undefined ? {} : { maximum }),
    ...(maxLength === undefined ? {} : { maxLength }),
    pattern: text.enum === undefined ? text.pattern : `^(${text.enum.map(String).join('|')})$`,
  };
}

/** With the default in words: the server would write a default of its schema into the object, as if it had been given. */
function describe({ description, default: preset }: Node): string | undefined {
  const words = description?.replaceAll('`', '');
  if (preset === undefined) return words;
  return `${words === undefined ? '' : `${words} `}Default: ${String(preset)}.`;
}
