/** One rule at the head of mangle POSTROUTING for each IP version, known by its comment; xtables' NFQUEUE target. */
import { readFileSync } from 'node:fs';
import { type Backend, BackendError, hasIpv6, type Made } from './backend.ts';
import { runTool } from './command.ts';
import { native } from './native.ts';
import type { QueueRule } from './port.ts';
import { hex, type Named, nameOf, parseName } from './rule-name.ts';

type Variant = 'nft' | 'legacy';
type Family = 4 | 6;

const CHAIN = 'POSTROUTING';
/** Seconds to wait for who else is changing rules. */
const WAIT = ['-w', '10'];

/** The rule's line as the tool lists it, after `-A POSTROUTING `. */
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
function legacyTableIsThere(family: Family): boolean {
  try {
    const path = `/proc/thread-self/net/${family === 4 ? 'ip_tables_names' : 'ip6_tables_names'}`;
    return readFileSync(path, 'latin1').split('\n').includes('mangle');
  } catch {
    return false; // not compiled in, or not loaded
  }
}

async function lines(variant: Variant, family: Family): Promise<Line[]> {
  if (variant === 'legacy' && !legacyTableIsThere(family)) return [];
  const outcome = await xtables(variant, family, '', [...WAIT, '-t', 'mangle', '-S', CHAIN]);
  if (outcome === undefined) throw new BackendError(`${label(variant, family)}: there is no such command`, true);
  if (!outcome.ok) throw new BackendError(`${label(variant, family)}: ${outcome.complaint}`);
  return parseLines(outcome.stdout);
}

/** Those of a chain's listing that bear a name of ours. */
export function parseLines(listing: string): Line[] {
  return listing.split('\n').flatMap((line) => {
    const [, text] = /^-A POSTROUTING (.*)$/.exec(line.trim()) ?? [];
    const [, , comment] = /--comment ("?)([A-Za-z0-9_]+)\1(?: |$)/.exec(text ?? '') ?? [];
    const named = comment === undefined ? undefined : parseName(comment);
    return text === undefined || named === undefined || !/ -j NFQUEUE /.test(text) ? [] : [{ named, text }];
  });
}

export function ruleText(rule: QueueRule): string {
  const mark = hex(rule.mark);
  const target = `-j NFQUEUE --queue-num ${rule.queue}${rule.bypass ? ' --queue-bypass' : ''}`;
  return `-m mark --mark ${mark}/${mark} -m comment --comment ${nameOf(rule)} ${target}`;
}

/** In one transaction: these lines out, those in at the head. */
async function exchange(variant: Variant, family: Family, out: readonly string[], into: readonly string[]) {
  if (out.length === 0 && into.length === 0) return;
  const commands = [...out.map((text) => `-D ${CHAIN} ${text}`), ...into.map((text) => `-I ${CHAIN} 1 ${text}`)];
  const input = `*mangle\n${commands.join('\n')}\nCOMMIT\n`;
  const outcome = await xtables(variant, family, '-restore', [...WAIT, '--noflush'], input);
  if (outcome === undefined)
    throw new BackendError(`${label(variant, family)}-restore: there is no such command`, true);
  if (!outcome.ok) throw new BackendError(`${label(variant, family)}-restore: ${outcome.complaint}`);
}

/** The chain and the table that iptables-nft had made for us go too, if nobody else has put anything in. */
async function dropEmptyTable(variant: Variant, family: Family): Promise<void> {
  if (variant !== 'nft') return;
  const listing = await xtables(variant, family, '', [...WAIT, '-t', 'mangle', '-S', CHAIN]);
  if (listing?.stdout.trim() !== `-P ${CHAIN} ACCEPT`) return;
  // The kernel refuses when somebody has put a rule in meanwhile; an older iptables-nft refuses always.
  await xtables(variant, family, '', [...WAIT, '-t', 'mangle', '-X', CHAIN]);
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
      for (const { named } of await lines(this.#variant, family)) {
        if (named.owner === owner) found.set(named.name, named);
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
    const places: { family: Family; text: string }[] = [];
    try {
      for (const family of families) {
        const before = (await lines(this.#variant, family)).filter(({ named }) => gone.has(named.name));
        const out = before.map(({ text }) => text);
        await exchange(this.#variant, family, out, [ruleText(rule)]);
        done.push(async () => {
          await exchange(this.#variant, family, await this.#texts(family, new Set([nameOf(rule)])), out.toReversed());
          if (out.length === 0) await dropEmptyTable(this.#variant, family);
        });
        const text = (await this.#texts(family, new Set([nameOf(rule)])))[0];
        if (text === undefined) throw new BackendError(`${label(this.#variant, family)}: the rule is not there`);
        places.push({ family, text });
      }
    } catch (error) {
      await undo();
      throw error;
    }
    const verify = async (): Promise<boolean> => {
      for (const { family, text } of places) {
        if (!(await lines(this.#variant, family)).some((line) => line.text === text)) return false;
      }
      return true;
    };
    return { families, verify, undo };
  }

  async remove(names: readonly string[]): Promise<void> {
    for (const family of await this.#families()) {
      const texts = await this.#texts(family, new Set(names));
      if (texts.length === 0) continue;
      await exchange(this.#variant, family, texts, []);
      await dropEmptyTable(this.#variant, family);
    }
  }

  async #texts(family: Family, names: ReadonlySet<string>): Promise<string[]> {
    const found = await lines(this.#variant, family);
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
