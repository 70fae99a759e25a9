/** What people are told to type, taken out of the pages that tell them. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './town.ts';

interface Block {
  readonly language: string;
  readonly lines: readonly string[];
}

/** The fenced blocks below a heading, up to the next one. Throws where there are none: the page has changed. */
function blocksOf(page: string, heading: string): readonly Block[] {
  const lines = readFileSync(join(ROOT, page), 'utf8').split('\n');
  const from = lines.indexOf(heading);
  const blocks: { language: string; lines: string[] }[] = [];
  let open: { language: string; lines: string[] } | undefined;
  for (const line of from < 0 ? [] : lines.slice(from + 1)) {
    if (open === undefined && /^#+ /.test(line)) break;
    const [, language] = /^```(.*)$/.exec(line) ?? [];
    if (language === undefined) {
      open?.lines.push(line);
    } else if (open === undefined) {
      open = { language, lines: [] };
      blocks.push(open);
    } else {
      open = undefined;
    }
  }
  if (blocks.length === 0) throw new Error(`${page} has no examples below "${heading}"`);
  return blocks;
}

/** The commands below a heading, without what is said of them. */
export function commandsOf(page: string, heading: string): readonly string[] {
  const lines = blocksOf(page, heading).flatMap((block) => (block.language === '' ? block.lines : []));
  return lines.map((line) => line.replace(/\s+#.*$/, '').trim()).filter(Boolean);
}

/** A file that is shown below a heading; its first line names it: `# policy.yaml`. */
export function fileOf(page: string, heading: string, name: string): string {
  const found = blocksOf(page, heading).find(({ lines }) => lines[0] === `# ${name}`);
  if (found === undefined) throw new Error(`${page} does not show ${name} below "${heading}"`);
  return `${found.lines.join('\n')}\n`;
}
