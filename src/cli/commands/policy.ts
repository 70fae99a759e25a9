import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import type { ApplyView, PolicyView } from '../../agent/api/contract.ts';
import { AgentError, EXIT } from '../../agent/errors.ts';
import { faultOf } from '../../agent/policy-fault.ts';
import { parsePolicyFile } from '../../model/policy-file.ts';
import { checkPolicySet } from '../../model/policy-set.ts';
import { formatProblem, type PolicyProblem } from '../../model/problem.ts';
import { type Io, readSource } from '../io.ts';
import { printList, printOne, printValue, type Resource } from '../output/print.ts';
import { humanCount, safe } from '../output/text.ts';
import { examples, group, namespaced, printing, type Session, withSession } from '../session.ts';
import { explainCommand } from './explain.ts';

export const POLICY: Resource<PolicyView> = {
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
    { header: 'HITS', value: (policy) => humanCount(sum(policy.rules.map((rule) => rule.packets))), right: true },
    { header: 'KIND', wide: true, value: (policy) => policy.kind },
    { header: 'FILE', wide: true, value: (policy) => policy.file },
    { header: 'MANAGED', wide: true, value: (policy) => String(policy.managed) },
  ],
};

const SUFFIXES = ['.yaml', '.yml', '.json'];

function direction(part: { readonly default: string; readonly rules: number } | undefined): string {
  return part === undefined ? '' : `${part.rules} rules, else ${part.default}`;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** Files as named, and the policy files of directories as named. */
async function expand(paths: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) {
    const isDirectory = path !== '-' && (await stat(path).catch(() => undefined))?.isDirectory() === true;
    if (!isDirectory) files.push(path);
    else {
      const names = (await readdir(path)).filter((name) => SUFFIXES.some((suffix) => name.endsWith(suffix)));
      files.push(...names.sort().map((name) => join(path, name)));
    }
  }
  return files;
}

async function readFiles(io: Io, paths: readonly string[]): Promise<{ file: string; text: string }[]> {
  if (paths.length === 0) throw new AgentError('USAGE', 'No policy was given: name files, directories or - with -f');
  const files: { file: string; text: string }[] = [];
  for (const path of await expand(paths)) {
    files.push({ file: path === '-' ? 'stdin' : path, text: await readSource(io, path) });
  }
  return files;
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

const collect = (value: string, previous: readonly string[] = []): string[] => [...previous, value];

const fileOption = (command: Command): Command =>
  command.option('-f, --filename <path>', 'file, directory, or - for standard input; may be given again', collect);

interface FileOptions {
  readonly filename?: readonly string[];
}

function applyCommand(io: Io): Command {
  const command = new Command('apply').description('create policies, or change them to what the files say');
  return examples(fileOption(printing(command)).option('--dry-run', 'say what would change; change nothing'), [
    ['policy apply -f shop.yaml', 'from a file'],
    ['policy apply -f policies/ --dry-run -o wide', "from a directory; only show the kernel's plan"],
    ['policy apply -f - < shop.yaml', 'from standard input'],
  ]).action((options: FileOptions & { dryRun?: boolean }, self: Command) =>
    withSession(io, self, async (session) => {
      const files = await readFiles(io, options.filename ?? []);
      const body = { files, dryRun: options.dryRun === true };
      await printChanges(io, session, await session.client.post<ApplyView>('/v1/policies', body));
    }),
  );
}

function getCommand(io: Io): Command {
  const command = new Command('get')
    .description('show policies in force')
    .argument('[name]', 'name, or namespace/name');
  return examples(namespaced(printing(command)), [
    ['policy get', 'all'],
    ['policy get shop/api -o yaml', 'one, with its text and the hits of its rules'],
  ]).action((name: string | undefined, _options, self: Command) =>
    withSession(io, self, async (session) => {
      const query = { namespace: session.namespace };
      if (name === undefined) {
        await printList(io, POLICY, await session.client.get<PolicyView[]>('/v1/policies', query), session);
        return;
      }
      const path = `/v1/policies/${encodeURIComponent(name)}`;
      await printOne(io, POLICY, await session.client.get<PolicyView>(path, query), session);
    }),
  );
}

function deleteCommand(io: Io): Command {
  const command = new Command('delete')
    .description('delete policies that "policy apply" created')
    .argument('[names...]', 'name, or namespace/name');
  return examples(fileOption(namespaced(printing(command))), [
    ['policy delete shop/api', 'one'],
    ['policy delete -f shop.yaml', 'all that a file names'],
  ]).action((names: readonly string[], options: FileOptions, self: Command) =>
    withSession(io, self, async (session) => {
      const targets = names.map((name) => ({ name, query: { namespace: session.namespace } }) as Target);
      if (options.filename !== undefined) targets.push(...(await targetsOf(io, options.filename)));
      if (targets.length === 0) throw new AgentError('USAGE', 'No policy was named');
      for (const { name, query } of targets) {
        const view = await session.client.delete<ApplyView>(`/v1/policies/${encodeURIComponent(name)}`, query);
        await printChanges(io, session, view);
      }
    }),
  );
}

interface Target {
  readonly name: string;
  readonly query: { readonly namespace?: string; readonly kind?: string };
}

async function targetsOf(io: Io, paths: readonly string[]): Promise<Target[]> {
  const files = (await readFiles(io, paths)).map(({ file, text }) => parsePolicyFile(file, Buffer.from(text)));
  refuseProblems(files.flatMap((file) => file.problems));
  return files
    .flatMap((file) => file.policies)
    .map(({ policy }) => ({ name: policy.name, query: { namespace: policy.namespace, kind: policy.kind } }));
}

function refuseProblems(problems: readonly PolicyProblem[]): void {
  const errors = problems.filter((problem) => problem.severity === 'error');
  if (errors.length === 0) return;
  throw new AgentError('INVALID', 'The policies do not validate', { faults: errors.map(faultOf) });
}

function validateCommand(io: Io): Command {
  const command = new Command('validate')
    .description('check policy files; needs no agent')
    .argument('[paths...]', 'files, directories, or -');
  return examples(fileOption(command).option('--strict', 'warnings are errors'), [
    ['policy validate shop.yaml', 'one file'],
    ['policy validate policies/ --strict', 'a directory, in a pipeline'],
  ]).action(async (paths: readonly string[], options: FileOptions & { strict?: boolean }) => {
    const sources = await readFiles(io, [...paths, ...(options.filename ?? [])]);
    const files = sources.map(({ file, text }) => parsePolicyFile(file, Buffer.from(text)));
    const policies = files.flatMap((file) => file.policies);
    const problems = [...files.flatMap((file) => file.problems), ...checkPolicySet(policies)];
    const fatal = problems.filter((problem) => options.strict === true || problem.severity === 'error');
    for (const problem of problems) if (!fatal.includes(problem)) io.complain(safe(formatProblem(problem)));
    if (fatal.length > 0) {
      throw new AgentError('INVALID', 'The policies do not validate', { faults: fatal.map(faultOf) });
    }
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
      const files = await readFiles(io, options.filename ?? []);
      const view = await session.client.post<ApplyView>('/v1/policies', { files, dryRun: true });
      await printChanges(io, session, view);
      if (view.changes.some((change) => change.action !== 'unchanged')) io.answer(EXIT.DIFFERS);
    }),
  );
}

export function policyCommand(io: Io): Command {
  return group('policy', 'who may talk to whom')
    .alias('policies')
    .alias('pol')
    .addCommand(applyCommand(io))
    .addCommand(getCommand(io))
    .addCommand(deleteCommand(io))
    .addCommand(validateCommand(io))
    .addCommand(diffCommand(io))
    .addCommand(explainCommand(io));
}
