import { SourceError } from './error.ts';

/** Reads a body to its end. Throws SourceError TOO_LARGE beyond `longest` bytes, having ended the body. */
export async function readBounded(body: AsyncIterable<Uint8Array>, longest: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > longest) throw new SourceError('TOO_LARGE', `The answer is longer than ${longest} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The lines of a body as they arrive, without empty ones. Throws SourceError TOO_LARGE beyond `longest` bytes in one. */
export async function* readLines(body: AsyncIterable<Uint8Array>, longest: number): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of body) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10, start)) {
      const line = rest.toString('utf8', start, end).trim();
      start = end + 1;
      if (line !== '') yield line;
    }
    rest = rest.subarray(start);
    if (rest.length > longest) throw new SourceError('TOO_LARGE', `A line is longer than ${longest} bytes`);
  }
}
