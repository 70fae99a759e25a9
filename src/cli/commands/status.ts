import { Command } from 'commander';
import type { StatusView } from '../../agent/api/contract.ts';
import { formatAge } from '../../agent/duration.ts';
import { EXIT, formatFault } from '../../agent/errors.ts';
import type { Io } from '../io.ts';
import { printValue } from '../output/print.ts';
import { formatTable } from '../output/table.ts';
import { paint, safe } from '../output/text.ts';
import { examples, printing, withSession } from '../session.ts';

/** A map fuller than this is shown without being asked for. */
const FULL = 0.8;

function lines(io: Io, status: StatusView, wide: boolean): string[] {
  const ago = (time: string): string => formatAge(io.now() - Date.parse(time));
  const state = status.ready ? paint('ready', 'green', io.color) : paint('not ready', 'red', io.color);
  const { datapath, endpoints, policies, reconcile, events } = status;
  const result = [
    `agent       ${state}, ${status.version} on ${safe(status.node)} (domain ${status.domain}), pid ${status.pid}, up ${ago(status.startedAt)}`,
    `kernel      ${status.kernel}, ${datapath.programs.length} programs, revision ${datapath.revision}${datapath.adopted ? ', taken over from a former agent' : ''}`,
    `endpoints   ${endpoints.total}: ${endpoints.enforced} enforced, ${endpoints.unprotected} unprotected, ${endpoints.failed} failed`,
    `identities  ${status.identities}`,
    `policies    ${policies.enforce} enforced, ${policies.stage} staged, ${policies.hardening} of them hardening, ${policies.errors.length} errors (${policies.directory})`,
    `reconcile   ${reconcile.rounds} rounds, ${reconcile.failures} failed${reconcile.lastAt === undefined ? '' : `, the last ${ago(reconcile.lastAt)} ago in ${reconcile.lastMs?.toFixed(1)} ms`}`,
    `events      ${events.lost} lost in the kernel, ${events.lostToFollowers} lost to slow followers, ${events.followers} followers`,
  ];
  result.push(gateLine(io, status), ...betweenLines(io, status));
  for (const source of status.sources) {
    const health = source.healthy ? paint('ok', 'green', io.color) : paint('failing', 'red', io.color);
    const error = source.error === undefined ? '' : `: ${safe(source.error)}`;
    result.push(
      `source      ${safe(source.name)} ${health} since ${ago(source.since)}, ${source.endpoints} endpoints${error}`,
    );
  }
  for (const map of datapath.maps) {
    const fill = map.maxEntries === 0 ? 0 : map.entries / map.maxEntries;
    if (!wide && fill < FULL) continue;
    const text = `map         ${map.name} ${map.entries} of ${map.maxEntries} (${Math.round(fill * 100)} %)`;
    result.push(paint(text, fill >= FULL ? 'yellow' : undefined, io.color));
  }
  return result;
}

function gateLine(io: Io, { gate }: StatusView): string {
  if (gate.missing !== undefined) return `gate        ${paint('missing', 'red', io.color)}: ${safe(gate.missing)}`;
  if (!gate.on) return 'gate        off: new containers begin before they are protected';
  const guarded = gate.guarded ? ', guarded by BPF LSM' : '';
  return `gate        on${guarded}, ${gate.waiting.length} containers wait`;
}

function betweenLines(io: Io, { between }: StatusView): string[] {
  const { tags, hold, handshake, missing } = between;
  const result: string[] = [];
  if (tags.on) {
    const signing = tags.signing === undefined ? 'none signs' : `${tags.signing} signs`;
    result.push(`tags        on, ${tags.keys} keys, ${signing}`);
  }
  if (hold.on) {
    const open = hold.open ? ', open where it cannot' : '';
    result.push(`hold        by ${hold.backend}, ${hold.packets} packets of ${hold.flows} flows wait${open}`);
  }
  if (handshake.on) {
    const all = handshake.connected === handshake.agents;
    const agents = paint(`${handshake.connected} of ${handshake.agents} agents`, all ? 'green' : 'red', io.color);
    result.push(`handshake   ${agents} connected, ${handshake.underWay} under way, ${handshake.verified} verified`);
  }
  for (const { what, why } of missing) {
    result.push(paint(`missing     ${safe(what)}: ${safe(why.split('\n')[0] ?? '')}`, 'yellow', io.color));
  }
  return result;
}

function troubles(io: Io, status: StatusView): string[] {
  const section = (title: string, texts: readonly string[]): string[] =>
    texts.length === 0 ? [] : ['', `${title}:`, ...texts.map((text) => `  ${safe(text)}`)];
  const { errors } = status.policies;
  const [first] = status.drift;
  const drift =
    first === undefined
      ? ''
      : formatTable(
          [
            { header: '  MAP', value: (one) => `  ${one.map}` },
            { header: 'KEY', value: (one) => one.key },
            { header: 'DESIRED', value: (one) => one.desired ?? 'nothing' },
            { header: 'ACTUAL', value: (one) => one.actual ?? 'nothing' },
          ],
          status.drift,
          { wide: true, headers: true, color: false },
        );
  return [
    ...section(paint('Problems', 'red', io.color), status.problems),
    ...section(
      paint('Policy errors', 'red', io.color),
      errors.map(
        (fault) => `${formatFault(fault)}${fault.inForce === undefined ? '' : ` [in force: ${fault.inForce}]`}`,
      ),
    ),
    ...section(
      paint('Warnings', 'yellow', io.color),
      status.warnings.map((warning) => `${warning.code} ${warning.subject}: ${warning.message}`),
    ),
    ...(drift === ''
      ? []
      : [
          '',
          `${paint('Drift', 'yellow', io.color)}: the kernel holds something else than was applied`,
          drift.trimEnd(),
        ]),
  ];
}

export function statusCommand(io: Io): Command {
  const command = new Command('status').description(
    `how the agent and the kernel stand; exit ${EXIT.FAILED} when not ready, ${EXIT.DIFFERS} on drift`,
  );
  return examples(printing(command), [
    ['status', 'in short; problems, policy errors and drift are always shown'],
    ['status -o wide', 'with the fill of every map'],
    ['status -o json', 'everything, for programs'],
  ]).action((_options, self: Command) =>
    withSession(io, self, async (session) => {
      const status = await session.client.get<StatusView>('/v1/status');
      if (!(await printValue(io, status, session))) {
        const text = [...lines(io, status, session.output === 'wide'), ...troubles(io, status)];
        await io.write(`${text.join('\n')}\n`);
      }
      if (!status.ready) io.answer(EXIT.FAILED);
      else if (status.drift.length > 0) io.answer(EXIT.DIFFERS);
    }),
  );
}
