/** Rules of structural schemas, and what a value breaks of one, told as Kubernetes would, only slower. */

type Schema = Readonly<Record<string, unknown>>;

const TYPES = ['object', 'array', 'string', 'integer', 'number', 'boolean'];
const KEYWORDS = new Set([
  ...['type', 'description', 'properties', 'required', 'additionalProperties', 'items', 'enum', 'pattern', 'format'],
  ...['minLength', 'maxLength', 'minimum', 'maximum', 'minItems', 'maxItems', 'maxProperties'],
  ...['x-kubernetes-int-or-string', 'x-kubernetes-preserve-unknown-fields', 'x-kubernetes-validations'],
  ...['x-kubernetes-list-type', 'x-kubernetes-list-map-keys', 'nullable'],
]);

/** Where a schema is not structural, and why. */
export function structuralFaults(schema: Schema, at = ''): string[] {
  const faults = Object.keys(schema)
    .filter((keyword) => !KEYWORDS.has(keyword))
    .map((keyword) => `${at}: ${keyword} is not for structural schemas here`);
  const { type, properties, items, additionalProperties, required } = schema;
  if (schema['x-kubernetes-int-or-string'] === true) {
    if (type !== undefined) faults.push(`${at}: a type beside x-kubernetes-int-or-string`);
  } else if (!TYPES.includes(String(type))) faults.push(`${at}: no type`);
  if (type === 'array' && items === undefined) faults.push(`${at}: a list of nothing said`);
  if (properties !== undefined && additionalProperties !== undefined) faults.push(`${at}: both kinds of properties`);
  if (additionalProperties === false) faults.push(`${at}: additionalProperties false`);
  for (const name of (required ?? []) as string[]) {
    if (!Object.hasOwn((properties ?? {}) as object, name)) faults.push(`${at}: ${name} is required and not described`);
  }
  if (typeof schema.pattern === 'string' && /\(\?[=!<]|\\[1-9]/.test(schema.pattern)) {
    faults.push(`${at}: a pattern RE2 has not`);
  }
  faults.push(...listFaults(schema, at));
  for (const [name, field] of Object.entries((properties ?? {}) as Record<string, Schema>)) {
    // The API machinery has its own description of this one.
    if (at !== '' || name !== 'metadata') faults.push(...structuralFaults(field, `${at}.${name}`));
  }
  if (items !== undefined) faults.push(...structuralFaults(items as Schema, `${at}[]`));
  if (typeof additionalProperties === 'object') {
    faults.push(...structuralFaults(additionalProperties as Schema, `${at}.*`));
  }
  return faults;
}

function listFaults(schema: Schema, at: string): string[] {
  const items = (schema.items ?? {}) as Schema;
  const kind = schema['x-kubernetes-list-type'];
  if (kind === 'set' && (items.type === 'object' || items.type === 'array')) return [`${at}: a set of no scalars`];
  if (kind !== 'map') return [];
  const keys = (schema['x-kubernetes-list-map-keys'] ?? []) as string[];
  const described = (items.properties ?? {}) as Record<string, Schema>;
  const needed = (items.required ?? []) as string[];
  const bad = keys.filter((key) => !TYPES.slice(2).includes(String(described[key]?.type)) || !needed.includes(key));
  return keys.length === 0 ? [`${at}: a map without keys`] : bad.map((key) => `${at}: ${key} is no key`);
}

/**
 * The most checking all rules of CEL could cost, by the server's estimate: each rule as often as lists could have
 * entries around it. A list without a bound is as long as a request could make it.
 */
export function validationCosts(schema: Schema, times = 1, at = ''): { at: string; cost: number }[] {
  const rules = (schema['x-kubernetes-validations'] ?? []) as { rule: string }[];
  // Each name, call and operator costs one; texts that are searched cost a tenth of their length.
  const own = rules.map(({ rule }) => ({
    at,
    cost:
      times * ((rule.match(/\w+(?=\.)|\w+\(|[<>=!+]=?|\?|\|\||&&/g)?.length ?? 0) + (/matches/.test(rule) ? 400 : 0)),
  }));
  const inner = Object.entries((schema.properties ?? {}) as Record<string, Schema>).flatMap(([name, field]) =>
    validationCosts(field, times, `${at}.${name}`),
  );
  const most = typeof schema.maxItems === 'number' ? schema.maxItems : 1_000_000;
  const items = schema.items === undefined ? [] : validationCosts(schema.items as Schema, times * most, `${at}[]`);
  return [...own, ...inner, ...items];
}

/** What a value breaks of a structural schema; rules of CEL are not looked at. */
export function violations(schema: Schema, value: unknown, at = ''): string[] {
  if (value === null && schema.nullable === true) return [];
  if (schema['x-kubernetes-int-or-string'] === true) {
    if (!Number.isInteger(value) && typeof value !== 'string') return [`${at}: neither number nor text`];
  } else if (!isOf(String(schema.type), value)) return [`${at}: no ${schema.type}`];
  const list = (schema.enum ?? [value]) as unknown[];
  const faults = list.includes(value) ? [] : [`${at}: not one of ${list.join(', ')}`];
  if (typeof value === 'string') return [...faults, ...textViolations(schema, value, at)];
  if (typeof value === 'number') {
    const [least, most] = [schema.minimum ?? -Infinity, schema.maximum ?? Infinity] as [number, number];
    return value < least || value > most ? [...faults, `${at}: ${value} is not in ${least}-${most}`] : faults;
  }
  if (Array.isArray(value)) return [...faults, ...listViolations(schema, value, at)];
  if (typeof value === 'object' && value !== null) return [...faults, ...objectViolations(schema, value, at)];
  return faults;
}

function isOf(type: string, value: unknown): boolean {
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}

function textViolations(schema: Schema, value: string, at: string): string[] {
  const faults: string[] = [];
  if (typeof schema.pattern === 'string' && !new RegExp(schema.pattern).test(value)) faults.push(`${at}: no such text`);
  if (value.length > ((schema.maxLength as number | undefined) ?? Infinity)) faults.push(`${at}: too long`);
  if (schema.format === 'date-time' && Number.isNaN(Date.parse(value))) faults.push(`${at}: no time`);
  return faults;
}

function listViolations(schema: Schema, value: readonly unknown[], at: string): string[] {
  const faults = value.flatMap((entry, i) => violations(schema.items as Schema, entry, `${at}[${i}]`));
  const [least, most] = [schema.minItems ?? 0, schema.maxItems ?? Infinity] as [number, number];
  if (value.length < least || value.length > most) faults.push(`${at}: ${value.length} entries`);
  if (schema['x-kubernetes-list-type'] === 'set' && new Set(value).size < value.length) faults.push(`${at}: twice`);
  const keys = (schema['x-kubernetes-list-map-keys'] ?? []) as string[];
  const seen = new Set(value.map((entry) => JSON.stringify(keys.map((key) => (entry as Schema)[key]))));
  if (keys.length > 0 && seen.size < value.length) faults.push(`${at}: a key twice`);
  return faults;
}

function objectViolations(schema: Schema, value: object, at: string): string[] {
  const described = (schema.properties ?? {}) as Record<string, Schema>;
  const missing = ((schema.required ?? []) as string[]).filter((name) => !Object.hasOwn(value, name));
  const faults = missing.map((name) => `${at}.${name}: missing`);
  if (Object.keys(value).length > ((schema.maxProperties as number | undefined) ?? Infinity))
    faults.push(`${at}: many`);
  for (const [name, entry] of Object.entries(value)) {
    const field = Object.hasOwn(described, name)
      ? described[name]
      : (schema.additionalProperties as Schema | undefined);
    if (field !== undefined) faults.push(...violations(field, entry, `${at}.${name}`));
  }
  return faults;
}
