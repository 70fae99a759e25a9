import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { readBtf } from './btf.ts';
import { BpfError } from './errors.ts';
import { type Selection, Shapes } from './layout-shapes.ts';
import { layoutSource } from './layout-source.ts';

const HELP = `usage: node src/libbpf/generate-layouts.ts --out FILE [options] OBJECT...

Writes the TypeScript layouts of types found in the BTF of compiled BPF objects.
Without a selection: --maps --variables.

  --maps            the key and value types of every map
  --variables       the types of global variables, and what pointers among them point to
  --struct NAME     this struct (may be repeated)
  --enum NAME       this enum (may be repeated)
  --import SPEC     how FILE imports layout.ts (default: relative to this program)
  --check           write nothing; exit 1 when FILE is not what would be written
`;

/** Layout source from the objects' BTF. Throws `BpfError` BTF. */
export function generateLayouts(objects: readonly string[], selection: Selection, support: string): string {
  const shapes = new Shapes();
  let littleEndian: boolean | undefined;
  for (const path of objects) {
    const btf = readBtf(readFileSync(path), path);
    littleEndian ??= btf.littleEndian;
    if (btf.littleEndian !== littleEndian) {
      throw new BpfError('BTF', {
        attempted: `read "${path}"`,
        reason: 'its byte order differs from the other objects',
      });
    }
    shapes.add(btf, selection);
  }
  const missing = shapes.missing(selection);
  if (missing.length > 0) {
    throw new BpfError('BTF', {
      attempted: `find ${missing.join(', ')}`,
      reason: 'no object has it in its BTF',
      hint: 'the compiler leaves out types that nothing uses: declare a global variable of it',
    });
  }
  return layoutSource(shapes, littleEndian ?? true, support);
}

function main(args: string[]): number {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      out: { type: 'string' },
      maps: { type: 'boolean', default: false },
      variables: { type: 'boolean', default: false },
      struct: { type: 'string', multiple: true, default: [] },
      enum: { type: 'string', multiple: true, default: [] },
      import: { type: 'string' },
      check: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.out === undefined || positionals.length === 0) {
    throw new BpfError('USAGE', {
      attempted: 'generate layouts',
      reason: '--out FILE and an OBJECT are needed',
      hint: HELP,
    });
  }
  const explicit = values.maps || values.variables || values.struct.length > 0 || values.enum.length > 0;
  const selection: Selection = {
    maps: values.maps || !explicit,
    variables: values.variables || !explicit,
    structs: values.struct,
    enums: values.enum,
  };
  const source = generateLayouts(positionals, selection, values.import ?? supportPath(values.out));
  if (!values.check) {
    writeFileSync(values.out, source);
    return 0;
  }
  if (readIfThere(values.out) === source) return 0;
  process.stderr.write(`${values.out} is stale: run the layout generator again\n`);
  return 1;
}

function supportPath(out: string): string {
  const path = relative(dirname(resolve(out)), join(import.meta.dirname, 'layout.ts'));
  return path.startsWith('.') ? path : `./${path}`;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    process.exitCode = main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    process.stderr.write(`${error.message}\n${error instanceof BpfError && error.hint ? `${error.hint}\n` : ''}`);
    process.exitCode = error instanceof BpfError ? error.exitCode : 70;
  }
}
