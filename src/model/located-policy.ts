/** Policies and where they were written. */
import { type AnyPolicy, isHardeningKind } from './any-policy.ts';
import type { HardeningPolicy } from './hardening.ts';
import { toHardening } from './hardening-manifest.ts';
import { toManifest, toPolicy } from './manifest.ts';
import type { Policy } from './policy.ts';
import type { Place, Position } from './problem.ts';
import type { HardeningManifest } from './schema/hardening.ts';
import type { PolicyManifest } from './schema/kinds.ts';
import type { YamlDocument } from './yaml-document.ts';

interface Located<P extends AnyPolicy, O extends Place> {
  readonly policy: P;
  readonly origin: O;
}

/** Where a network policy was written, and the parts of it that problems of whole sets of policies point at. */
export interface PolicyOrigin extends Place {
  readonly priority?: Position;
  readonly ingress: readonly Position[];
  readonly egress: readonly Position[];
}

/** The same of a hardening policy. */
export interface HardeningOrigin extends Place {
  /** The names of ready rules, by rule. */
  readonly ready: readonly (readonly Position[])[];
}

export type LocatedPolicy = Located<Policy, PolicyOrigin>;
export type LocatedHardeningPolicy = Located<HardeningPolicy, HardeningOrigin>;

/** Policies of both families; `compile` and `hardening` each take one. */
export interface LocatedPolicies {
  readonly policies: readonly LocatedPolicy[];
  readonly hardening: readonly LocatedHardeningPolicy[];
}

/** A policy in a form that can be stored and sent: plain data. */
export interface PolicyDocument {
  readonly manifest: PolicyManifest;
  readonly origin: PolicyOrigin | HardeningOrigin;
}

export function toDocuments({ policies, hardening }: LocatedPolicies): PolicyDocument[] {
  return [...policies, ...hardening].map(({ policy, origin }) => ({ manifest: toManifest(policy), origin }));
}

/** @param documents as `toDocuments` or `originOf` made them: each origin is of its policy's family */
export function fromDocuments(documents: readonly PolicyDocument[]): LocatedPolicies {
  const policies: LocatedPolicy[] = [];
  const hardening: LocatedHardeningPolicy[] = [];
  for (const { manifest, origin } of documents) {
    if (isHardeningManifest(manifest)) {
      hardening.push({ policy: toHardening(manifest), origin: origin as HardeningOrigin });
    } else {
      policies.push({ policy: toPolicy(manifest), origin: origin as PolicyOrigin });
    }
  }
  return { policies, hardening };
}

function isHardeningManifest(manifest: PolicyManifest): manifest is HardeningManifest {
  return isHardeningKind(manifest.kind);
}

/** Where the parts of a validated document stand. */
export function originOf(file: string, document: YamlDocument, manifest: PolicyManifest): PolicyDocument['origin'] {
  const at = (...path: (string | number)[]): Position => document.locate(path, 'value');
  const place = { file, ...at() };
  if (isHardeningManifest(manifest)) {
    const rules = manifest.spec.rules ?? [];
    return {
      ...place,
      ready: rules.map((rule, i) => (rule.ready ?? []).map((_, j) => at('spec', 'rules', i, 'ready', j))),
    };
  }
  const { priority, ingress = [], egress = [] } = manifest.spec;
  return {
    ...place,
    ...(priority === undefined ? {} : { priority: at('spec', 'priority') }),
    ingress: ingress.map((_, i) => at('spec', 'ingress', i)),
    egress: egress.map((_, i) => at('spec', 'egress', i)),
  };
}
