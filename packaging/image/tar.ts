/** Tar archives (POSIX.1-2001, pax) that are equal byte by byte where their contents are: no times, no names of users. */

const BLOCK = 512;
const [FILE, SYMLINK, DIRECTORY, EXTENDED] = ['0', '2', '5', 'x'];
/** What the name and link fields of a plain header hold. */
const NAME_MAX = 100;

export interface TarEntry {
  /** With no leading slash. */
  readonly path: string;
  readonly mode: number;
  /** Of a file. */
  readonly content?: Buffer;
  /** Of a symbolic link: where it leads. */
  readonly target?: string;
}

/** An archive of these entries, in their order. A path must come after its directory. */
export function tar(entries: Iterable<TarEntry>): Buffer {
  const blocks: Buffer[] = [];
  for (const entry of entries) blocks.push(...entryBlocks(entry));
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}

function entryBlocks({ path, mode, content, target }: TarEntry): Buffer[] {
  const type = target !== undefined ? SYMLINK : content !== undefined ? FILE : DIRECTORY;
  const name = type === DIRECTORY ? `${path}/` : path;
  const long = [
    ...(Buffer.byteLength(name) > NAME_MAX ? [record('path', name)] : []),
    ...(Buffer.byteLength(target ?? '') > NAME_MAX ? [record('linkpath', target ?? '')] : []),
  ].join('');
  const own = [header(name, type!, mode, content?.length ?? 0, target ?? ''), ...padded(content)];
  if (long === '') return own;
  const extension = Buffer.from(long);
  return [header('pax', EXTENDED!, 0o644, extension.length, ''), ...padded(extension), ...own];
}

/** `LENGTH KEY=VALUE\n`, where the length counts its own digits. */
function record(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length += 1;
  return `${length} ${key}=${value}\n`;
}

function padded(content: Buffer | undefined): Buffer[] {
  if (content === undefined || content.length === 0) return [];
  return [content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)];
}

function header(name: string, type: string, mode: number, size: number, target: string): Buffer {
  const block = Buffer.alloc(BLOCK);
  const number = (value: number, at: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  block.write(Buffer.from(name).subarray(0, NAME_MAX).toString('latin1'), 0, 'latin1');
  number(mode, 100, 8);
  number(0, 108, 8); // owner
  number(0, 116, 8); // group
  number(size, 124, 12);
  number(0, 136, 12); // time
  block.write('        ', 148, 'latin1');
  block.write(type, 156, 'latin1');
  block.write(Buffer.from(target).subarray(0, NAME_MAX).toString('latin1'), 157, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
