import { Command } from 'commander';
import type { IdentityView } from '../../agent/api/contract.ts';
import { EXIT } from '../../agent/errors.ts';
import type { ProfileChange } from '../../hardening/document.ts';
import type { Io } from '../io.ts';
import { printValue } from '../output/print.ts';
import { paint, safe } from '../output/text.ts';
import { readPolicyFiles } from '../policy-input.ts';
import { examples, namespaced, printing, withSession } from '../session.ts';
import { type FileOptions, fileOption } from './files.ts';

interface WorkloadChange {
  readonly workload: string;
  /** Lines of the profile that go and come. */
  readonly changes: readonly ProfileChange[];
}

export function profileDiffCommand(io: Io): Command {
  const command = new Command('diff').description(
    `say what the hardening policies of files would change for each workload of this node; exit ${EXIT.DIFFERS} if anything`,
  );
  return examples(namespaced(fileOption(printing(command))), [
    ['profile diff -f web.yaml', 'workload by workload, rule by rule'],
    ['profile diff -f policies/ -n shop', 'only one namespace'],
    ['profile diff -f web.yaml -o json', 'for programs'],
  ]).action((options: FileOptions, self: Command) =>
    withSession(io, self, async (session) => {
      const { diffProfiles } = await import('../../hardening/document.ts');
      const { attributesOf, hardenedBy, nameOf, policiesInForce, policiesOf } = await import(
        '../hardening/policies.ts'
      );
      const files = policiesOf(await readPolicyFiles(io, options.filename ?? []));
      const before = await policiesInForce(session.client);
      const keys = new Set(files.map(keyOf));
      const after = [...before.filter((policy) => !keys.has(keyOf(policy))), ...files];
      const identities = await session.client.get<IdentityView[]>('/v1/identities', { namespace: session.namespace });
      const found = identities.map(attributesOf).map((identity): WorkloadChange => {
        const [old, next] = [before, after].map((policies) => hardenedBy(policies, identity));
        const has = (one: typeof old) => (one === undefined || one.policies.length === 0 ? undefined : one.document);
        return { workload: nameOf(identity), changes: diffProfiles(has(old), has(next)) };
      });
      const changed = found.filter(({ changes }) => changes.length > 0);
      if (!(await printValue(io, changed, session))) {
        for (const change of changed) await io.write(text(io, change, session.output === 'name'));
        if (changed.length === 0) io.complain('No workload of this node would be judged otherwise.');
      }
      if (changed.length > 0) io.answer(EXIT.DIFFERS);
    }),
  );
}

const keyOf = ({ kind, namespace, name }: { kind: string; namespace: string; name: string }): string =>
  `${kind} ${namespace}/${name}`;

function text(io: Io, { workload, changes }: WorkloadChange, onlyName: boolean): string {
  if (onlyName) return `${safe(`workload/${workload}`)}\n`;
  const lines = changes.map(({ sign, text: line }) =>
    paint(safe(`${sign} ${line}`), sign === '+' ? 'green' : 'red', io.color),
  );
  return `${[safe(workload), ...lines.map((line) => `  ${line}`)].join('\n')}\n`;
}
