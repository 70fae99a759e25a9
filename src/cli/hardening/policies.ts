import type { IdentityView, PolicyView } from '../../agent/api/contract.ts';
import { AgentError } from '../../agent/errors.ts';
import { compileWithCatalogue, withoutGroups } from '../../agent/hardening/open.ts';
import { READY_RULES } from '../../hardening/catalogue/index.ts';
import { type ProfileDocument, profileDocument } from '../../hardening/document.ts';
import { ExecutableBits } from '../../hardening/executables.ts';
import type { CompiledProfile } from '../../hardening/profile.ts';
import { isHardening } from '../../model/any-policy.ts';
import type { HardeningPolicy } from '../../model/hardening.ts';
import type { IdentityAttributes } from '../../model/identity.ts';
import { parsePolicyFile } from '../../model/policy-file.ts';
import { selects } from '../../model/selector.ts';
import { formatWorkload, parseWorkload } from '../../model/workload.ts';
import type { AgentClient } from '../client.ts';
import { checkPolicies } from '../policy-check.ts';
import type { InputFile } from '../policy-input.ts';

/** Hardening policies and the profiles they come down to. Loaded only by the commands that need it. */

/** Those in force, or staged, at the agent. */
export async function policiesInForce(client: AgentClient): Promise<HardeningPolicy[]> {
  const kinds = ['HardeningPolicy', 'ClusterHardeningPolicy'] as const;
  const lists = await Promise.all(kinds.map((kind) => client.get<PolicyView[]>('/v1/policies', { kind })));
  return lists.flat().flatMap(({ kind, namespace, name, source, file }) => {
    const { hardening } = parsePolicyFile(file, Buffer.from(source));
    const found = hardening.filter(({ policy }) => policy.kind === kind && policy.name === name);
    return found.map(({ policy }) => policy).filter((policy) => policy.namespace === namespace);
  });
}

/** Those of files. @throws AgentError INVALID */
export function policiesOf(files: readonly InputFile[]): HardeningPolicy[] {
  return checkPolicies(files, false).policies.filter(isHardening);
}

/** Who a name means, at the agent. @throws AgentError NOT_FOUND or AMBIGUOUS */
export async function knownIdentity(
  client: AgentClient,
  name: string,
  namespace: string | undefined,
): Promise<IdentityAttributes> {
  return attributesOf(await client.get<IdentityView>(`/v1/identities/${encodeURIComponent(name)}`, { namespace }));
}

export function attributesOf({ namespace, kind, name, container, labels }: IdentityView): IdentityAttributes {
  return { workload: { namespace, kind, name }, container, labels };
}

/**
 * Who is meant where no agent is asked.
 * @param name `namespace/kind/name`, or `namespace/kind/name[container]`
 * @param labels `key=value`
 * @throws AgentError USAGE
 */
export function namedIdentity(name: string, labels: readonly string[], namespace?: string): IdentityAttributes {
  const [, path = '', container = ''] = /^([^[\]]+)(?:\[([^[\]]+)\])?$/.exec(name) ?? [];
  const workload = parseWorkload(path, namespace);
  if (workload === undefined || /[*?]/.test(path)) {
    throw new AgentError('USAGE', `"${name}" is no namespace/kind/name, which is wanted where no agent is asked`);
  }
  const pairs = labels.map((text) => {
    const at = text.indexOf('=');
    if (at < 1) throw new AgentError('USAGE', `"${text}" is no key=value`);
    return [text.slice(0, at), text.slice(at + 1)] as const;
  });
  return { workload, container, labels: Object.fromEntries(pairs) };
}

/** `shop/Service/web[nginx]`. */
export function nameOf({ workload, container }: IdentityAttributes): string {
  return `${formatWorkload(workload)}${container === '' ? '' : `[${container}]`}`;
}

export interface Hardened {
  readonly policies: readonly HardeningPolicy[];
  readonly profile: CompiledProfile;
  readonly document: ProfileDocument;
}

/** What the policies that select somebody come down to. @throws AgentError INVALID where they cannot be compiled */
export function hardenedBy(all: readonly HardeningPolicy[], identity: IdentityAttributes): Hardened {
  const policies = all.filter(({ subject }) => selects(subject, identity)).map(withoutGroups);
  const profile = compileWithCatalogue(policies, { executables: new ExecutableBits() });
  return { policies, profile, document: profileDocument(nameOf(identity), policies, profile, READY_RULES) };
}
