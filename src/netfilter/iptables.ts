/**
 * The first rule of a chain that what is held passes once, for each IP version, known by its comment; xtables' NFQUEUE
 * target. A legacy table that nobody has used yet costs each packet a walk through each of its hooks from then on, rules or
 * not: of mangle's a packet passes three on its way through a node, of security's one.
 */
import { readFileSync } from 'node:fs';
import { type Backend, BackendError, hasIpv6, type Made } from './backend.ts';
import { runTool } from './command.ts';
import { native } from './native.ts';
import type { QueueRule } from './port.ts';
import { hex, type Named, nameOf, parseName } from './rule-name.ts';

type Variant = 'nft' | 'legacy';
type Family = 4 | 6;

/** The chains that make a way out of the node, of which each packet passes one; after DNAT and before SNAT. */
const CHAINS = { mangle: ['POSTROUTING'], security: ['FORWARD', 'OUTPUT'] } as const;
type Table = keyof typeof CHAINS;
/** Where rules of ours may be. */
const TABLES: Readonly<Record<Variant, readonly Table[]>> = { nft: ['mangle'], legacy: ['mangle', 'security'] };
/** Seconds to wait for who else is changing rules. */
const WAIT = ['-w', '10'];

/** A rule's line as the tool lists it, `CHAIN ...` after `-A `. */
interface Line {
  readonly named: Named;
  readonly text: string;
}

function variantOf(version: string): Variant {
  // Before 1.8 there was only one, and it did not say.
  return version.includes('nf_tables') ? 'nft' : 'legacy';
}

/** Runs the tool of that variant, under its own name or as the system's default. Undefined: there is none. */
async function xtables(variant: Variant, family: Family, suffix: string, args: readonly string[], input?: string) {
  const tool = family === 4 ? 'iptables' : 'ip6tables';
  const outcome = await runTool(`${tool}-${variant}${suffix}`, args, input);
  if (outcome !== undefined) return outcome;
  const version = await runTool(tool, ['--version']);
  if (!version?.ok || variantOf(version.stdout) !== variant) return undefined;
  return runTool(`${tool}${suffix}`, args, input);
}

function label(variant: Variant, family: Family): string {
  return `${family === 4 ? 'iptables' : 'ip6tables'}-${variant}`;
}

/** Listing a legacy table makes it, hooks and all; where it is not, nothing of ours is in it. */
function legacyTableIsThere(family: Family, table: Table): boolean {
  try {
    const path = `/proc/thread-self/net/${family === 4 ? 'ip_tables_names' : 'ip6_tables_names'}`;
    return readFileSync(path, 'latin1').split('\n').includes(table);
  } catch {
    return false; // not compiled in, or not loaded
  }
}

/** The tables to put a rule in, the best first. */
function choices(variant: Variant, family: Family): readonly Table[] {
  return variant === 'nft' || legacyTableIsThere(family, 'mangle') ? ['mangle'] : ['security', 'mangle'];
}

async function lines(variant: Variant, family: Family, table: Table): Promise<Line[]> {
  if (variant === 'legacy' && !legacyTableIsThere(family, table)) return [];
  const outcome = await xtables(variant, family, '', [...WAIT, '-t', table, '-S']);
  if (outcome === undefined) throw new BackendError(`${label(variant, family)}: there is no such command`, true);
  if (!outcome.ok) throw new BackendError(`${label(variant, family)}: ${outcome.complaint}`);
  return parseLines(outcome.stdout, table);
}

/** Those of a table's listing that bear a name of ours. */
export function parseLines(listing: string, table: Table): Line[] {
  return listing.split('\n').flatMap((line) => {
    const [, text, chain] = /^-A ((\S+) .*)$/.exec(line.trim()) ?? [];
    const [, , comment] = /--comment ("?)([A-Za-z0-9_]+)\1(?: |$)/.exec(text ?? '') ?? [];
    const named = comment === undefined ? undefined : parseName(comment);
    if (text === undefined || named === undefined || !/ -j NFQUEUE /.test(text)) return [];
    return CHAINS[table].some((one) => one === chain) ? [{ named, text }] : [];
  });
}

export function ruleText(rule: QueueRule): string {
  const mark = hex(rule.mark);
  const target = `-j NFQUEUE --queue-num ${rule.queue}${rule.bypass ? ' --queue-bypass' : ''}`;
  return `-m mark --mark ${mark}/${mark} -m comment --comment ${nameOf(rule)} ${target}`;
}

/** In one transaction: these lines out, those in at the heads of their chains. */
async function exchange(
  variant: Variant,
  family: Family,
  table: Table,
  out: readonly string[],
  into: readonly string[],
): Promise<void> {
  if (out.length === 0 && into.length === 0) return;
  const commands = [...out.map((text) => `-D ${text}`), ...into.map((text) => `-I ${text.replace(' ', ' 1 ')}`)];
  const input = `*${table}\n${commands.join('\n')}\nCOMMIT\n`;
  const outcome = await xtables(variant, family, '-restore', [...WAIT, '--noflush'], input);
  if (outcome === undefined)
    throw new BackendError(`${label(variant, family)}-restore: there is no such command`, true);
  if (!outcome.ok) throw new BackendError(`${label(variant, family)}-restore: ${outcome.complaint}`);
}

/** The chain and the table that iptables-nft had made for us go too, if nobody else has put anything in. */
async function dropEmptyTable(variant: Variant, family: Family): Promise<void> {
  if (variant !== 'nft') return;
  const [chain] = CHAINS.mangle;
  const listing = await xtables(variant, family, '', [...WAIT, '-t', 'mangle', '-S', chain]);
  if (listing?.stdout.trim() !== `-P ${chain} ACCEPT`) return;
  // The kernel refuses when somebody has put a rule in meanwhile; an older iptables-nft refuses always.
  await xtables(variant, family, '', [...WAIT, '-t', 'mangle', '-X', chain]);
  native.deleteEmptyTable(family === 6, 'mangle');
}

class Iptables implements Backend {
  readonly kind: 'iptables-nft' | 'iptables-legacy';
  readonly #variant: Variant;

  constructor(variant: Variant) {
    this.#variant = variant;
    this.kind = `iptables-${variant}`;
  }

  async find(owner: string): Promise<readonly Named[]> {
    const found = new Map<string, Named>();
    for (const family of await this.#families()) {
      for (const table of TABLES[this.#variant]) {
        for (const { named } of await lines(this.#variant, family, table)) {
          if (named.owner === owner) found.set(named.name, named);
        }
      }
    }
    return [...found.values()];
  }

  async replace(rule: QueueRule, older: readonly Named[]): Promise<Made> {
    const families = await this.#families();
    const gone = new Set([nameOf(rule), ...older.map((named) => named.name)]);
    const done: (() => Promise<void>)[] = [];
    const undo = async (): Promise<void> => {
      for (const step of done.splice(0).reverse()) await step();
    };
    const places: { family: Family; table: Table; texts: readonly string[] }[] = [];
    try {
      for (const family of families) {
        const table = await this.#put(family, rule, gone, done);
        const texts = await this.#texts(family, table, new Set([nameOf(rule)]));
        if (texts.length < CHAINS[table].length)
          throw new BackendError(`${label(this.#variant, family)}: the rule is not there`);
        places.push({ family, table, texts });
        for (const other of TABLES[this.#variant]) if (other !== table) await this.#take(family, other, gone, done);
      }
    } catch (error) {
      await undo();
      throw error;
    }
    const verify = async (): Promise<boolean> => {
      for (const { family, table, texts } of places) {
        const present = new Set((await lines(this.#variant, family, table)).map(({ text }) => text));
        if (!texts.every((text) => present.has(text))) return false;
      }
      return true;
    };
    return { families, verify, undo };
  }

  /** Puts it into the first table that takes it, in the place of those that go; in `undos`, how to have it as it was. */
  async #put(
    family: Family,
    rule: QueueRule,
    gone: ReadonlySet<string>,
    undos: (() => Promise<void>)[],
  ): Promise<Table> {
    let failure: unknown;
    for (const table of choices(this.#variant, family)) {
      const out = await this.#texts(family, table, gone);
      const into = CHAINS[table].map((chain) => `${chain} ${ruleText(rule)}`);
      try {
        await exchange(this.#variant, family, table, out, into);
      } catch (error) {
        failure = error;
        continue;
      }
      undos.push(async () => {
        const made = await this.#texts(family, table, new Set([nameOf(rule)]));
        await exchange(this.#variant, family, table, made, out.toReversed());
        if (out.length === 0) await dropEmptyTable(this.#variant, family);
      });
      return table;
    }
    throw failure;
  }

  async #take(family: Family, table: Table, gone: ReadonlySet<string>, undos: (() => Promise<void>)[]): Promise<void> {
    const out = await this.#texts(family, table, gone);
    await exchange(this.#variant, family, table, out, []);
    undos.push(() => exchange(this.#variant, family, table, [], out.toReversed()));
  }

  async remove(names: readonly string[]): Promise<void> {
    for (const family of await this.#families()) {
      for (const table of TABLES[this.#variant]) {
        const texts = await this.#texts(family, table, new Set(names));
        if (texts.length === 0) continue;
        await exchange(this.#variant, family, table, texts, []);
        await dropEmptyTable(this.#variant, family);
      }
    }
  }

  async #texts(family: Family, table: Table, names: ReadonlySet<string>): Promise<string[]> {
    const found = await lines(this.#variant, family, table);
    return found.filter(({ named }) => names.has(named.name)).map(({ text }) => text);
  }

  /** IPv6 only where both the kernel and the system have it. */
  async #families(): Promise<Family[]> {
    if (!hasIpv6()) return [4];
    return (await xtables(this.#variant, 6, '', ['--version'])) === undefined ? [4] : [4, 6];
  }
}

export const iptablesNft: Backend = new Iptables('nft');
export const iptablesLegacy: Backend = new Iptables('legacy');
