import * as z from 'zod';
import type { NamedPort } from '../../model/endpoint.ts';
import type { Identity } from '../../model/identity.ts';
import { deriveIdentity, formatIdentity } from '../../model/identity.ts';
import { isAliasKind } from '../../model/workload.ts';
import { makeWorkload } from '../naming.ts';
import type { LooseObject } from './resource.ts';

/** What a WorkloadIdentity says: who there is, wherever it runs. Plain data. */
export interface AnnouncedWorkload {
  /** `shop/Deployment/web`. */
  readonly workload: string;
  readonly identities: readonly {
    readonly container: string;
    readonly labels: Readonly<Record<string, string>>;
    /** 16 hexadecimal digits. */
    readonly id: string;
    readonly ports: readonly NamedPort[];
  }[];
}

/** Bounds of one workload. */
const MOST_IDENTITIES = 1_000;
const MOST_PORTS = 512;

const specSchema = z.object({
  workload: z.string().max(600),
  identities: z
    .array(
      z.object({
        container: z.string().max(253).default(''),
        labels: z.record(z.string(), z.string()).default({}),
        id: z.string().regex(/^[0-9a-f]{16}$/),
        ports: z
          .array(
            z.object({
              name: z.string().max(63),
              protocol: z.enum(['TCP', 'UDP', 'SCTP']),
              port: z.int().min(1).max(65_535),
            }),
          )
          .max(MOST_PORTS)
          .default([]),
      }),
    )
    .max(MOST_IDENTITIES)
    .default([]),
});

/**
 * Of a WorkloadIdentity, what the agent needs. Throws where it is not what it should be, and where it is about another
 * namespace than its own: names of ports are not part of what an identity is made from.
 */
export function projectIdentities({ metadata, spec }: LooseObject): AnnouncedWorkload {
  const announced = specSchema.parse(spec);
  if (isOfNamespace(announced.workload, metadata.namespace)) return announced;
  throw new Error(`${announced.workload} is not announced by its namespace`);
}

/** Whether a workload, `shop/Deployment/web`, is of this namespace: nobody tells of another's. */
export function isOfNamespace(workload: string, namespace: string | undefined): boolean {
  return workload.split('/')[0] === namespace;
}

/**
 * The identities an object tells of. One whose id is not made from what stands beside it is nobody's: whoever may
 * write the object could otherwise give any attributes to anybody.
 */
export function identitiesOf(
  domain: string,
  { workload: text, identities }: AnnouncedWorkload,
): { readonly known: readonly (Identity & { readonly ports: readonly NamedPort[] })[]; readonly refused: number } {
  const [namespace = '', kind = '', name = '', ...rest] = text.split('/');
  const workload = rest.length === 0 && !isAliasKind(kind) ? makeWorkload(namespace, kind, name) : undefined;
  if (workload === undefined) return { known: [], refused: identities.length };
  const known = identities.flatMap(({ container, labels, id, ports }) => {
    const identity = deriveIdentity(domain, { workload, container, labels });
    return formatIdentity(identity.id) === id ? [{ ...identity, ports }] : [];
  });
  return { known, refused: identities.length - known.length };
}
