import { Command, Option } from 'commander';
import type { ApplyView, HardeningView, PolicyView } from '../../agent/api/contract.ts';
import { AgentError, EXIT } from '../../agent/errors.ts';
import type { Io } from '../io.ts';
import { printList, printOne, printValue, type Resource } from '../output/print.ts';
import { humanCount, safe } from '../output/text.ts';
import { readPolicyFiles } from '../policy-input.ts';
import { examples, group, namespaced, printing, type Session, withSession } from '../session.ts';
import { explainCommand } from './explain.ts';
import { type FileOptions, fileOption } from './files.ts';

const POLICY: Resource<PolicyView> = {
  kind: 'policy',
  name: nameOf,
  columns: [
    { header: 'NAMESPACE', value: (policy) => policy.namespace },
    { header: 'NAME', value: (policy) => policy.name },
    { header: 'MODE', value: (policy) => policy.mode, color: ({ mode }) => (mode === 'Stage' ? 'yellow' : undefined) },
    { header: 'PRIORITY', value: (policy) => String(policy.priority), right: true },
    { header: 'SUBJECT', value: (policy) => policy.subject },
    { header: 'SELECTED', value: (policy) => String(policy.selected), right: true },
    { header: 'INGRESS', value: (policy) => direction(policy.ingress) },
    { header: 'EGRESS', value: (policy) => direction(policy.egress) },
    { header: 'HARDENING', value: (policy) => hardening(policy.hardening) },
    { header: 'HITS', value: hits, right: true },
    { header: 'KIND', wide: true, value: (policy) => policy.kind },
    { header: 'FILE', wide: true, value: (policy) => policy.file },
    { header: 'MANAGED', wide: true, value: (policy) => String(policy.managed) },
  ],
};

function direction(part: { readonly default: string; readonly rules: number } | undefined): string {
  return part === undefined ? '' : `${part.rules} rules, else ${part.default}`;
}

function hardening(part: HardeningView | undefined): string {
  if (part === undefined) return '';
  const strict = Object.entries(part.defaults).filter(([, action]) => action !== 'Allow');
  const otherwise = strict.map(([name, action]) => `${name} ${action}`);
  return `${part.rules.length} rules${otherwise.length === 0 ? '' : `, else ${otherwise.join(', ')}`}`;
}

/** Packets that rules of network policies decided. */
function hits(policy: PolicyView): string {
  return policy.hardening === undefined ? humanCount(sum(policy.rules.map((rule) => rule.packets))) : '';
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

async function printChanges(io: Io, session: Session, view: ApplyView): Promise<void> {
  if (await printValue(io, view, session)) return;
  const note = view.dryRun && session.output !== 'name' ? ' (dry run)' : '';
  for (const change of view.changes) {
    const what = session.output === 'name' ? '' : ` ${change.action}${note}`;
    await io.write(`${safe(`policy/${nameOf(change)}${what}`)}\n`);
  }
  if (session.output !== 'wide') return;
  if (view.plan !== '') await io.write(`${view.plan}\n`);
  if (view.latencyMs !== undefined) await io.write(`in the kernel after ${view.latencyMs.toFixed(1)} ms\n`);
}

function nameOf(policy: { readonly namespace: string; readonly name: string }): string {
  return policy.namespace === '' ? policy.name : `${policy.namespace}/${policy.name}`;
}

const KINDS = [
  'WorkloadNetworkPolicy',
  'ClusterWorkloadNetworkPolicy',
  'HardeningPolicy',
  'ClusterHardeningPolicy',
] as const satisfies readonly PolicyView['kind'][];

/** Adds `-n` and `--kind`. */
const selected = (command: Command): Command =>
  namespaced(command).addOption(new Option('--kind <kind>', 'only this kind of policy').choices(KINDS));

/** @param noun under which it is: both apply policies of any kind */
export function applyCommand(io: Io, noun: 'policy' | 'profile' = 'policy'): Command {
  const command = new Command('apply').description('create policies, or change them to what the files say');
  return examples(fileOption(printing(command)).option('--dry-run', 'say what would change; change nothing'), [
    [`${noun} apply -f shop.yaml`, 'from a file'],
    [`${noun} apply -f policies/ --dry-run -o wide`, "from a directory; only show the kernel's plan"],
    [`${noun} apply -f - < shop.yaml`, 'from standard input'],
  ]).action((options: FileOptions & { dryRun?: boolean }, self: Command) =>
    withSession(io, self, async (session) => {
      const files = await readPolicyFiles(io, options.filename ?? []);
      const body = { files, dryRun: options.dryRun === true };
      await printChanges(io, session, await session.client.post<ApplyView>('/v1/policies', body));
    }),
  );
}

function getCommand(io: Io): Command {
  const command = new Command('get')
    .description('show policies in force')
    .argument('[name]', 'name, or namespace/name');
  return examples(selected(printing(command)), [
    ['policy get', 'all'],
    ['policy get shop/api -o yaml', 'one, with its text and the hits of its rules'],
    ['policy get --kind HardeningPolicy', 'what containers may do to their host'],
  ]).action((name: string | undefined, { kind }: { kind?: string }, self: Command) =>
    withSession(io, self, async (session) => {
      const query = { namespace: session.namespace, kind };
      if (name === undefined) {
        await printList(io, POLICY, await session.client.get<PolicyView[]>('/v1/policies', query), session);
        return;
      }
      const path = `/v1/policies/${encodeURIComponent(name)}`;
      await printOne(io, POLICY, await session.client.get<PolicyView>(path, query), session);
    }),
  );
}

interface Target {
  readonly name: string;
  readonly query: { readonly namespace: string | undefined; readonly kind: string | undefined };
}

function deleteCommand(io: Io): Command {
  const command = new Command('delete')
    .description('delete policies that "policy apply" created')
    .argument('[names...]', 'name, or namespace/name');
  return examples(fileOption(selected(printing(command))), [
    ['policy delete shop/api', 'one'],
    ['policy delete -f shop.yaml', 'all that a file names'],
  ]).action((names: readonly string[], options: FileOptions & { kind?: string }, self: Command) =>
    withSession(io, self, async (session) => {
      const named = { namespace: session.namespace, kind: options.kind };
      const targets: Target[] = names.map((name) => ({ name, query: named }));
      if (options.filename !== undefined) {
        const { checkPolicies } = await import('../policy-check.ts');
        const { policies } = checkPolicies(await readPolicyFiles(io, options.filename), false);
        targets.push(...policies.map(({ kind, namespace, name }) => ({ name, query: { namespace, kind } })));
      }
      if (targets.length === 0) throw new AgentError('USAGE', 'No policy was named');
      for (const { name, query } of targets) {
        const view = await session.client.delete<ApplyView>(`/v1/policies/${encodeURIComponent(name)}`, query);
        await printChanges(io, session, view);
      }
    }),
  );
}

function validateCommand(io: Io): Command {
  const command = new Command('validate')
    .description('check policy files; needs no agent')
    .argument('[paths...]', 'files, directories, or -');
  return examples(fileOption(command).option('--strict', 'warnings are errors'), [
    ['policy validate shop.yaml', 'one file'],
    ['policy validate policies/ --strict', 'a directory, in a pipeline'],
  ]).action(async (paths: readonly string[], options: FileOptions & { strict?: boolean }) => {
    const files = await readPolicyFiles(io, [...paths, ...(options.filename ?? [])]);
    const { checkPolicies } = await import('../policy-check.ts');
    const { policies, warnings } = checkPolicies(files, options.strict === true);
    for (const warning of warnings) io.complain(safe(warning));
    await io.write(`${files.length} files with ${policies.length} policies are valid\n`);
  });
}

function diffCommand(io: Io): Command {
  const command = new Command('diff').description(
    `say what "policy apply" would change; exit ${EXIT.DIFFERS} if anything`,
  );
  return examples(fileOption(printing(command)), [
    ['policy diff -f shop.yaml', 'which policies would change'],
    ['policy diff -f shop.yaml -o wide', "with every step in the kernel's tables"],
  ]).action((options: FileOptions, self: Command) =>
    withSession(io, self, async (session) => {
      const files = await readPolicyFiles(io, options.filename ?? []);
      const view = await session.client.post<ApplyView>('/v1/policies', { files, dryRun: true });
      await printChanges(io, session, view);
      if (view.changes.some((change) => change.action !== 'unchanged')) io.answer(EXIT.DIFFERS);
    }),
  );
}

export function policyCommand(io: Io): Command {
  return group('policy', 'who may talk to whom, and what containers may do')
    .alias('policies')
    .alias('pol')
    .addCommand(applyCommand(io))
    .addCommand(getCommand(io))
    .addCommand(deleteCommand(io))
    .addCommand(validateCommand(io))
    .addCommand(diffCommand(io))
    .addCommand(explainCommand(io));
}
