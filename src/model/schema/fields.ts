/**
 * The small values policies are made of. Each schema's `error` says what is wanted, as the end of a sentence
 * "found X, wanted …"; each is bounded in length.
 */
import * as z from 'zod';
import { parseNetwork } from '../address.ts';
import { PROTOCOLS } from '../protocol.ts';
import { parseWorkload, WORKLOAD_REFERENCE } from '../workload.ts';

/** Most entries of each list and mapping. */
export const LIMITS = { rules: 10_000, peers: 1_000, ports: 256, except: 256, labels: 64, annotations: 64 } as const;

export const PROTOCOL_NAMES = Object.keys(PROTOCOLS) as [keyof typeof PROTOCOLS, ...(keyof typeof PROTOCOLS)[]];

/** A text with a pattern; type errors and pattern errors read the same. */
export function text(pattern: RegExp, longest: number, wanted: string): z.ZodString {
  return z.string({ error: wanted }).max(longest, { error: wanted, abort: true }).regex(pattern, { error: wanted });
}

export function integer(least: number, most: number, wanted: string): z.ZodInt {
  return z.int({ error: wanted }).min(least, { error: wanted }).max(most, { error: wanted });
}

export function oneOf<const T extends readonly [string, ...string[]]>(names: T, wanted = namesOf(names)) {
  return z.enum(names, { error: wanted });
}

export function namesOf(names: readonly string[]): string {
  return `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

export const namespace = text(
  /^[a-z0-9][a-z0-9_-]{0,62}$/,
  63,
  'a namespace: lower-case letters, digits, "-" and "_", at most 63',
);

export const policyName = text(
  /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/,
  253,
  'a name: lower-case letters, digits, "-" and ".", at most 253',
);

export const ruleName = text(
  /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/,
  63,
  'a rule name: lower-case letters, digits and "-", starting with a letter, at most 63',
).refine((name) => name !== 'default', { error: 'a rule name other than "default", which is the policy\'s default' });

export const workload = text(
  new RegExp(WORKLOAD_REFERENCE),
  381,
  'a workload as kind/name or namespace/kind/name, "*" and "?" allowed in each part',
).refine((reference) => parseWorkload(reference, 'any') !== undefined, {
  error: 'a node as Node/name: it is in no namespace',
});

export const container = text(
  /^[A-Za-z0-9._*?-]{1,253}$/,
  253,
  'a container name, "*" and "?" allowed, at most 253 characters',
);

const labelKey = text(
  /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,126}[A-Za-z0-9])?$/,
  317,
  'a label key: [prefix/]name of letters, digits, "-", "_" and "."',
);

const labelValue = text(
  /^[A-Za-z0-9._:@/+-]{0,253}$/,
  253,
  'a text of letters, digits and ._:@/+-, at most 253 (in quotes where it is a number, true or false)',
);

const annotationValue = z.string({ error: 'a text' }).max(262_144, { error: 'a text of at most 262144 characters' });

function mapping(value: z.ZodString, most: number) {
  return z
    .record(labelKey, value, { error: 'a mapping of keys to texts' })
    .refine((entries) => Object.keys(entries).length <= most, { error: `at most ${most} entries` })
    .meta({ maxProperties: most });
}

export const labels = mapping(labelValue, LIMITS.labels);
export const annotations = mapping(annotationValue, LIMITS.annotations);

/** An IPv4 or IPv6 network; a wrong one says what is wrong with it and, where it is plain, what was meant. */
export const cidr = z
  .string({ error: 'a network as address/length' })
  .max(64, { error: 'a network as address/length', abort: true })
  .superRefine((value, context) => {
    const network = parseNetwork(value);
    if ('family' in network) return;
    const hint = network.suggestion === undefined ? '' : `, did you mean ${network.suggestion}`;
    context.addIssue({
      code: 'custom',
      message: 'a network as address/length, say 10.0.0.0/8 or fd00::/8',
      params: { hint: `${network.reason}${hint}` },
    });
  });

export const entity = oneOf(['world', 'host']);
export const action = oneOf(['Allow', 'Deny', 'Alert']);
export const mode = oneOf(['Enforce', 'Stage']);
export const priority = integer(0, 65_535, 'a whole number from 0 to 65535');

const PROTOCOL_WANTED = `${PROTOCOL_NAMES.join(', ')} or a protocol number from 0 to 255`;

export const protocol = z.union([oneOf(PROTOCOL_NAMES), integer(0, 255, PROTOCOL_WANTED)], { error: PROTOCOL_WANTED });

const PORT_WANTED = 'a port number from 1 to 65535, or a port name of at most 15 lower-case letters, digits and "-"';

export const port = z.union([integer(1, 65_535, PORT_WANTED), text(/^[a-z0-9-]*[a-z][a-z0-9-]*$/, 15, PORT_WANTED)], {
  error: PORT_WANTED,
});

export const endPort = integer(1, 65_535, 'a port number from 1 to 65535');
export const icmpType = integer(0, 255, 'an ICMP type from 0 to 255');
