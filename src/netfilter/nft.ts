/** A table of our own for both IP versions: made in one transaction, and nothing is left when it goes. */
import { type Backend, BackendError, hasIpv6, type Made } from './backend.ts';
import { runTool } from './command.ts';
import type { QueueRule } from './port.ts';
import { hex, type Named, nameOf, parseName } from './rule-name.ts';

async function nft(args: readonly string[], input?: string): Promise<string> {
  const outcome = await runTool('nft', args, input);
  if (outcome === undefined) throw new BackendError('nft: there is no such command', true);
  if (!outcome.ok) throw new BackendError(`nft: ${outcome.complaint}`);
  return outcome.stdout;
}

/** Before everybody's mangle rules, which could take the mark away; after DNAT, which is done in earlier hooks. */
function tableText(rule: QueueRule): string {
  const mark = hex(rule.mark);
  return `table inet ${nameOf(rule)} {
  chain postrouting {
    type filter hook postrouting priority -151; policy accept;
    meta mark & ${mark} == ${mark} queue num ${rule.queue}${rule.bypass ? ' bypass' : ''}
  }
}
`;
}

/** Also where there is none: `delete` alone would fail, and `destroy` is too young. */
function withoutTable(name: string): string {
  return `add table inet ${name}\ndelete table inet ${name}\n`;
}

function listed(name: string): Promise<string> {
  return nft(['--stateless', 'list', 'table', 'inet', name]);
}

async function names(): Promise<string[]> {
  const lines = (await nft(['list', 'tables', 'inet'])).split('\n');
  return lines.flatMap((line) => /^table inet (\S+)$/.exec(line.trim())?.[1] ?? []);
}

export const nftBackend: Backend = {
  kind: 'nft',

  async find(owner: string): Promise<readonly Named[]> {
    const found = (await names()).flatMap((name) => parseName(name) ?? []);
    return found.filter((named) => named.owner === owner);
  },

  async replace(rule: QueueRule, older: readonly Named[]): Promise<Made> {
    const name = nameOf(rule);
    const before = await Promise.all(older.map((named) => listed(named.name)));
    const gone = new Set([name, ...older.map((named) => named.name)]);
    await nft(['-f', '-'], [...gone].map(withoutTable).join('') + tableText(rule));
    const undo = async (): Promise<void> => {
      await nft(['-f', '-'], withoutTable(name) + before.join('\n'));
    };
    try {
      const text = await listed(name);
      return {
        families: hasIpv6() ? [4, 6] : [4],
        verify: async () => (await names()).includes(name) && (await listed(name)) === text,
        undo,
      };
    } catch (error) {
      await undo();
      throw error;
    }
  },

  async remove(gone: readonly string[]): Promise<void> {
    if (gone.length > 0) await nft(['-f', '-'], gone.map(withoutTable).join(''));
  },
};
