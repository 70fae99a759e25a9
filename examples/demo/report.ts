/** What the demonstration says, and the count of what it expected and saw. */

const colour = process.stdout.isTTY && process.env.NO_COLOR === undefined;
const paint = (code: number, text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);

export class Report {
  passed = 0;
  failed = 0;
  /** Whether prompts say on which node. */
  prompts = false;

  chapter(title: string): void {
    console.log(`\n${paint(1, title)}`);
  }

  say(text: string): void {
    for (const line of text.trimEnd().split('\n')) console.log(`  ${line}`);
  }

  /** A command a reader could type, and what it printed. @param node where; nowhere in particular */
  command(line: string, output: string, node = ''): void {
    const prompt = this.prompts && node !== '' ? `${node}$` : '$';
    console.log(`  ${paint(36, `${prompt} ${line}`)}`);
    if (output.trim() !== '') this.say(output);
  }

  expect(what: string, wanted: string, seen: string): void {
    const held = wanted === seen;
    if (held) this.passed += 1;
    else this.failed += 1;
    const mark = held ? paint(32, 'ok') : paint(31, 'NOT');
    console.log(`  ${mark.padEnd(colour ? 12 : 3)} ${what}: ${seen}${held ? '' : ` (wanted ${wanted})`}`);
  }

  /** The last line; the status the process ends with. */
  end(): number {
    console.log(`\ndemo: ${this.passed} passed, ${this.failed} failed`);
    return this.failed === 0 ? 0 : 1;
  }
}
