/**
 * Hardening policies from and to their documents. Each of the fields `files`, `execution`, `capabilities`, … of a rule
 * is one target, each entry of `sockets` too; ready rules stay names here.
 */
import { formatNetwork } from './address.ts';
import { CAPABILITIES_MOST, capabilityName, parseCapability } from './capabilities.ts';
import {
  FILE_ACCESSES,
  type FileAccess,
  type HardeningPolicy,
  type HardeningRule,
  MOUNT_OPERATIONS,
  OPERATIONS,
  POSTURES,
  type Target,
} from './hardening.ts';
import { API_VERSION } from './policy.ts';
import { parseProtocol, protocolName } from './protocol.ts';
import type { HardeningManifest, HardeningRuleManifest } from './schema/hardening.ts';
import { ACCESS_WORDS } from './schema/hardening-fields.ts';
import {
  DEFAULT_PRIORITY,
  fromSelector,
  nonEmpty,
  type SelectorManifest,
  toNetwork,
  toSelector,
  unvalidated,
} from './selector-manifest.ts';
import { SOCKET_FAMILIES, SOCKET_TYPES, socketFamilyName, socketTypeName } from './sockets.ts';

/** The policy a validated document describes, with all that it leaves out filled in. */
export function toHardening(manifest: HardeningManifest): HardeningPolicy {
  const { metadata, spec } = manifest;
  const namespace = manifest.kind === 'HardeningPolicy' ? manifest.metadata.namespace : '';
  const defaults: HardeningPolicy['defaults'] = Object.fromEntries(
    POSTURES.flatMap((name) => (spec.defaults?.[name] === undefined ? [] : [[name, spec.defaults[name]]])),
  );
  return {
    kind: manifest.kind,
    namespace,
    name: metadata.name,
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    subject: toSelector(spec.subject, namespace),
    priority: spec.priority ?? DEFAULT_PRIORITY,
    explicitPriority: spec.priority !== undefined,
    mode: spec.mode ?? 'Enforce',
    defaults,
    rules: (spec.rules ?? []).map(toRule),
  };
}

/**
 * The document of a policy, everything spelled out but a priority that was not given. `toHardening` of it is the policy.
 * @throws TypeError where a rule has targets no document can say, as two lists of capabilities
 */
export function fromHardening(policy: HardeningPolicy): HardeningManifest {
  const { kind, namespace, name } = policy;
  const metadata = { name, ...nonEmpty('labels', policy.labels), ...nonEmpty('annotations', policy.annotations) };
  const spec = {
    subject: fromSelector(policy.subject) satisfies SelectorManifest,
    ...(policy.explicitPriority ? { priority: policy.priority } : {}),
    mode: policy.mode,
    ...(Object.keys(policy.defaults).length === 0 ? {} : { defaults: policy.defaults }),
    rules: policy.rules.map(fromRule),
  };
  return kind === 'HardeningPolicy'
    ? { apiVersion: API_VERSION, kind, metadata: { ...metadata, namespace }, spec }
    : { apiVersion: API_VERSION, kind, metadata, spec };
}

function toRule(rule: HardeningRuleManifest): HardeningRule {
  return {
    ...(rule.name === undefined ? {} : { name: rule.name }),
    action: rule.action ?? 'Deny',
    ...(rule.executables === undefined ? {} : { executables: rule.executables }),
    ready: rule.ready ?? [],
    targets: targetsOf(rule),
  };
}

/** In the order of the fields. */
function targetsOf({ files, execution, unix, ...rule }: HardeningRuleManifest): Target[] {
  const paths = (
    given: readonly string[],
    except: readonly string[] | undefined,
    access: readonly FileAccess[],
  ): Target => ({
    type: 'paths',
    paths: given,
    except: except ?? [],
    access,
  });
  const { capabilities, sockets, mounts, network, operations } = rule;
  return [
    ...(files === undefined ? [] : [paths(files.paths, files.except, accessesOf(files.access ?? ['all']))]),
    ...(execution === undefined ? [] : [paths(execution.paths, execution.except, ['execute'])]),
    ...(capabilities === undefined ? [] : [toCapabilities(capabilities)]),
    ...(sockets ?? []).map(toSocket),
    ...(unix === undefined ? [] : [paths(unix.names, unix.except, inOrder(SOCKET_ACCESSES, unix.access))]),
    ...(mounts === undefined ? [] : [toMounts(mounts)]),
    ...(network === undefined ? [] : [toConnections(network)]),
    ...(operations === undefined ? [] : [{ type: 'operations' as const, operations: inOrder(OPERATIONS, operations) }]),
  ];
}

const SOCKET_ACCESSES = ['connect', 'bind'] as const satisfies readonly FileAccess[];

/** Those that are given, in the order of all; all where none is given. */
function inOrder<T extends string>(all: readonly T[], given: readonly T[] | undefined): T[] {
  return all.filter((one) => given === undefined || given.includes(one));
}

type Given<K extends keyof HardeningRuleManifest> = NonNullable<HardeningRuleManifest[K]>;

function accessesOf(words: Given<'files'>['access'] & {}): FileAccess[] {
  const given = words.flatMap((word): readonly FileAccess[] =>
    word === 'modify' || word === 'all' ? ACCESS_WORDS[word] : [word],
  );
  return inOrder(FILE_ACCESSES, given);
}

function toCapabilities({ names, within }: Given<'capabilities'>): Target {
  const numbers = names.flatMap((name) =>
    name === '*' ? Array.from({ length: CAPABILITIES_MOST }, (_, number) => number) : (parseCapability(name) ?? []),
  );
  return {
    type: 'capabilities',
    capabilities: [...new Set(numbers)].sort((a, b) => a - b),
    within: within === undefined ? 'any' : WITHIN[within],
  };
}

const WITHIN = { Container: 'container', UserNamespace: 'user-namespace', Any: 'any' } as const;

function toSocket({ family, type, protocol }: Given<'sockets'>[number]): Target {
  const number = typeof protocol === 'string' ? parseProtocol(protocol) : protocol;
  return {
    type: 'socket',
    ...(family === undefined ? {} : { family: typeof family === 'string' ? SOCKET_FAMILIES[family] : family }),
    ...(type === undefined ? {} : { kind: SOCKET_TYPES[type] }),
    ...(number === undefined ? {} : { protocol: number }),
  };
}

function toMounts({ operations, fileSystems, writable, devices }: Given<'mounts'>): Target {
  return {
    type: 'mounts',
    operations: inOrder(MOUNT_OPERATIONS, operations),
    fileSystems: fileSystems ?? [],
    writable: writable ?? false,
    devices: devices ?? false,
  };
}

/** What means any address; both have to be said. */
const ANYWHERE = ['0.0.0.0/0', '::/0'] as const;

function toConnections({ cidrs = [...ANYWHERE], protocol: written, port, endPort }: Given<'network'>): Target {
  const protocol = written === undefined ? undefined : parseProtocol(written);
  return {
    type: 'network',
    networks: cidrs.map(toNetwork),
    ...(protocol === undefined ? {} : { protocol }),
    ...(port === undefined ? {} : { port }),
    ...(endPort === undefined ? {} : { endPort }),
  };
}

function fromRule(rule: HardeningRule): HardeningRuleManifest {
  return {
    ...(rule.name === undefined ? {} : { name: rule.name }),
    action: rule.action,
    ...(rule.executables === undefined ? {} : { executables: [...rule.executables] }),
    ...(rule.ready.length === 0 ? {} : { ready: [...rule.ready] }),
    ...fromTargets(rule.targets),
  };
}

type Fields = { -readonly [K in keyof HardeningRuleManifest]?: HardeningRuleManifest[K] };

function fromTargets(targets: readonly Target[]): Fields {
  const fields: Fields = {};
  const set = <K extends keyof Fields>(name: K, value: Fields[K]): void => {
    if (fields[name] !== undefined) throw new TypeError(`no document says two targets of the field ${name} in a rule`);
    fields[name] = value;
  };
  const executions = targets.filter(isExecution);
  for (const target of targets) {
    if (target.type === 'paths') {
      // Of two the first was written as files: that field comes first.
      const asFiles = executions.length > 1 && target === executions[0];
      setPaths(target, asFiles, set);
    } else if (target.type === 'socket') {
      fields.sockets = [...(fields.sockets ?? []), fromSocket(target)];
    } else if (target.type === 'capabilities') {
      set('capabilities', fromCapabilities(target));
    } else if (target.type === 'mounts') {
      set('mounts', fromMounts(target));
    } else if (target.type === 'network') {
      set('network', fromConnections(target));
    } else {
      set('operations', [...target.operations]);
    }
  }
  return fields;
}

type TargetOf<T extends Target['type']> = Extract<Target, { type: T }>;

function isExecution(target: Target): boolean {
  return target.type === 'paths' && target.access.length === 1 && target.access[0] === 'execute';
}

function setPaths(
  target: TargetOf<'paths'>,
  asFiles: boolean,
  set: <K extends keyof Fields>(name: K, value: Fields[K]) => void,
): void {
  const paths = [...target.paths];
  const except = target.except.length === 0 ? {} : { except: [...target.except] };
  const sockets = target.access.filter(isSocketAccess);
  if (isExecution(target) && !asFiles) set('execution', { paths, ...except });
  else if (sockets.length === target.access.length) set('unix', { names: paths, ...except, access: sockets });
  else set('files', { paths, ...except, access: wordsOf(target.access) });
}

function isSocketAccess(access: FileAccess): access is (typeof SOCKET_ACCESSES)[number] {
  return access === 'connect' || access === 'bind';
}

function wordsOf(access: readonly FileAccess[]): Given<'files'>['access'] {
  if (access.length === FILE_ACCESSES.length) return ['all'];
  return access.map((one) => {
    if (isSocketAccess(one)) throw new TypeError(`no document says ${one} beside other accesses but all of them`);
    return one;
  });
}

function fromCapabilities({ capabilities, within }: TargetOf<'capabilities'>): Given<'capabilities'> {
  const names = capabilities.length === CAPABILITIES_MOST ? ['*'] : capabilities.map(capabilityName);
  const where = (Object.keys(WITHIN) as (keyof typeof WITHIN)[]).find((name) => WITHIN[name] === within);
  return { names: names as Given<'capabilities'>['names'], within: where };
}

function fromSocket({ family, kind, protocol }: TargetOf<'socket'>): Given<'sockets'>[number] {
  const internet = family === undefined || family === SOCKET_FAMILIES.inet || family === SOCKET_FAMILIES.inet6;
  const type = kind === undefined ? undefined : socketTypeName(kind);
  if (kind !== undefined && type === undefined) throw unvalidated('type of a socket');
  const name = protocol === undefined || !internet ? undefined : protocolName(protocol);
  const named = name !== undefined && parseProtocol(name) !== undefined;
  return {
    ...(family === undefined ? {} : { family: socketFamilyName(family) ?? family }),
    ...(type === undefined ? {} : { type }),
    ...(protocol === undefined ? {} : { protocol: named ? (name as 'TCP') : protocol }),
  };
}

function fromMounts({ operations, fileSystems, writable, devices }: TargetOf<'mounts'>): Given<'mounts'> {
  return {
    operations: [...operations],
    ...(fileSystems.length === 0 ? {} : { fileSystems: [...fileSystems] }),
    writable,
    devices,
  };
}

function fromConnections({ networks, protocol, port, endPort }: TargetOf<'network'>): Given<'network'> {
  const name = protocol === undefined ? undefined : protocolName(protocol);
  const named = name !== undefined && parseProtocol(name) !== undefined;
  return {
    cidrs: networks.map(formatNetwork),
    ...(protocol === undefined ? {} : { protocol: named ? (name as 'TCP') : protocol }),
    ...(port === undefined ? {} : { port }),
    ...(endPort === undefined ? {} : { endPort }),
  };
}
