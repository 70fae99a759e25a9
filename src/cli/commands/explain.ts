import { Command } from 'commander';
import type { ExplainView } from '../../agent/api/explanation.ts';
import { EXIT } from '../../agent/errors.ts';
import type { Io } from '../io.ts';
import { printValue } from '../output/print.ts';
import { paint, safe } from '../output/text.ts';
import { examples, namespaced, printing, withSession } from '../session.ts';
import { VERDICT_COLORS } from './event.ts';

interface ExplainOptions {
  readonly port: string;
  readonly protocol: string;
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
    ['policy explain web api --port http -o json', 'for programs'],
  ]).action((from: string, to: string, options: ExplainOptions, self: Command) =>
    withSession(io, self, async (session) => {
      const view = await session.client.post<ExplainView>('/v1/explain', {
        from,
        to,
        port: numeric(options.port),
        protocol: numeric(options.protocol),
        ...(session.namespace === undefined ? {} : { namespace: session.namespace }),
      });
      if (!(await printValue(io, view, session))) await io.write(`${colored(io, view)}\n`);
      if (view.verdict === 'Deny') io.answer(EXIT.DENIED);
    }),
  );
}

/** The agent's text with its verdicts in colour. */
function colored(io: Io, { text }: ExplainView): string {
  const lines = text.split('\n').map(safe);
  return lines
    .map((line) => line.replace(/\b(Allow|Deny|Alert)\b/g, (word) => paint(word, VERDICT_COLORS[word], io.color)))
    .join('\n');
}

function numeric(text: string): string | number {
  return /^\d+$/.test(text) ? Number(text) : text;
}
