import { Command } from 'commander';
import type { ConsideredRule, ExplainSide, ExplainView } from '../../agent/api/explanation.ts';
import { EXIT } from '../../agent/errors.ts';
import type { Io } from '../io.ts';
import { printValue } from '../output/print.ts';
import { formatTable } from '../output/table.ts';
import { paint, safe } from '../output/text.ts';
import { examples, namespaced, printing, withSession } from '../session.ts';
import { VERDICT_COLORS } from './event.ts';

interface ExplainOptions {
  readonly port: string;
  readonly protocol: string;
}

const ruleName = (rule: { readonly policy: string; readonly name: string }): string => `${rule.policy}#${rule.name}`;

function sideText(io: Io, side: ExplainSide, all: boolean): string {
  const verdict = paint(side.verdict, VERDICT_COLORS[side.verdict], io.color);
  const rule = side.rule === undefined ? '' : ` by ${safe(ruleName(side.rule))}`;
  const lines = [`${side.direction} at ${safe(side.at)}: ${verdict}${rule}`, `  ${safe(side.why)}`];
  if (side.staged !== undefined) {
    const staged = side.staged.rule === undefined ? '' : ` by ${ruleName(side.staged.rule)}`;
    lines.push(`  staged policies would say ${side.staged.verdict}${safe(staged)}`);
  }
  if (!all || side.considered.length === 0) return `${lines.join('\n')}\n`;
  const table = formatTable<ConsideredRule>(
    [
      { header: '  RULE', value: (one) => `  ${ruleName(one)}` },
      { header: 'ACTION', value: (one) => one.action },
      { header: 'PRIORITY', value: (one) => String(one.priority), right: true },
      { header: 'MODE', value: (one) => one.mode },
      { header: 'DECIDES', value: (one) => (one.decides ? 'yes' : 'no') },
      { header: 'WHY', value: (one) => one.why },
    ],
    side.considered,
    { wide: true, headers: true, color: io.color },
  );
  return `${lines.join('\n')}\n${table}`;
}

export function explainCommand(io: Io): Command {
  const command = new Command('explain')
    .description(`say which rule decides, and why, from the tables in force; exit ${EXIT.DENIED} if it is denied`)
    .argument('<from>', 'workload, identity, host, world or an address')
    .argument('<to>', 'the same')
    .option('--port <port>', "destination port, one of the destination's port names, or an ICMP type", '0')
    .option('--protocol <protocol>', 'TCP, UDP, SCTP, ICMP, ICMPv6 or a number', 'TCP');
  return examples(namespaced(printing(command)), [
    ['policy explain web api --port 8080', 'may web reach api on 8080?'],
    ['policy explain shop/Service/web 1.1.1.1 --port 53 --protocol UDP', 'an address outside'],
    ['policy explain web api --port http -o wide', 'with every rule that was looked at'],
  ]).action((from: string, to: string, options: ExplainOptions, self: Command) =>
    withSession(io, self, async (session) => {
      const view = await session.client.post<ExplainView>('/v1/explain', {
        from,
        to,
        port: numeric(options.port),
        protocol: numeric(options.protocol),
        ...(session.namespace === undefined ? {} : { namespace: session.namespace }),
      });
      if (!(await printValue(io, view, session))) {
        const verdict = paint(view.verdict, VERDICT_COLORS[view.verdict], io.color);
        const head = `${safe(view.from)} → ${safe(view.to)} ${view.protocol} ${view.port}: ${verdict}\n`;
        const sides = view.sides.map((side) => sideText(io, side, session.output === 'wide'));
        await io.write([head, ...sides].join('\n'));
      }
      if (view.verdict === 'Deny') io.answer(EXIT.DENIED);
    }),
  );
}

function numeric(text: string): string | number {
  return /^\d+$/.test(text) ? Number(text) : text;
}
