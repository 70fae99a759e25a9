import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BpfError, BpfMap, openObject, TypedMap, U16, U32, U64 } from '../../../src/libbpf/index.ts';
import { compile } from '../../libbpf/compile.ts';
import { compileBefore, keep, loadSampler, openSampler, PACKET, PairLayout, REFUSED, useBpffs } from './sampler.ts';

describe('An object', () => {
  compileBefore();
  const pins = useBpffs();

  it('shows its maps and programs before anything is in the kernel', () => {
    const object = keep(openSampler());
    const pairs = object.maps.get('pairs');
    assert.deepEqual(
      [pairs?.type, pairs?.keySize, pairs?.valueSize, pairs?.maxEntries, pairs?.pinPath],
      ['hash', 4, 16, 64, undefined],
    );
    const send = object.programs.get('send');
    assert.deepEqual([send?.type, send?.section, send?.autoload], ['sched_cls', 'tc', false]);
    assert.equal(object.programs.get('count_exec')?.section, 'tp_btf/sched_process_exec');
  });

  it('is loaded with the sizes, globals and programs that were set', () => {
    const object = openSampler('say_answer');
    object.maps.get('pairs')!.maxEntries = 3;
    object.setGlobal('answer', U32, 42);
    const loaded = keep(object.load());
    assert.equal(loaded.map('pairs').maxEntries, 3);
    assert.deepEqual(loaded.programNames, ['say_answer']);
    assert.equal(loaded.program('say_answer').testRun({ data: PACKET }).retval, 42);
  });

  it('takes the bytes of a section as well as single globals', () => {
    const object = openSampler('say_answer');
    const rodata = [...object.maps.values()].find((map) => map.holds('.rodata'))!;
    const bytes = rodata.initialValue();
    assert.equal(bytes.readUInt32LE(0), 1);
    bytes.writeUInt32LE(7, 0);
    rodata.setInitialValue(bytes);
    const loaded = keep(object.load());
    assert.equal(loaded.program('say_answer').testRun({ data: PACKET }).retval, 7);
  });

  it('refuses globals that are not there or have another size', () => {
    const object = keep(openSampler());
    assert.throws(() => object.setGlobal('question', U32, 1), { code: 'NOT_FOUND' });
    assert.throws(() => object.setGlobal('answer', U64, 1n), { code: 'LAYOUT', message: /4 bytes, layout "u64" 8/ });
    assert.throws(() => object.setGlobal('answer', U16, 1), { code: 'LAYOUT' });
  });

  it('uses a map that exists instead of making its own', () => {
    const existing = keep(BpfMap.create({ type: 'hash', name: 'mine', keySize: 4, valueSize: 16, maxEntries: 64 }));
    const object = openSampler();
    object.maps.get('pairs')!.reuse(existing);
    const loaded = keep(object.load());
    assert.equal(loaded.map('pairs').id, existing.id);
  });

  it('refuses a map of another shape, naming both shapes', () => {
    const other = keep(BpfMap.create({ type: 'hash', name: 'other', keySize: 8, valueSize: 16, maxEntries: 64 }));
    const object = keep(openSampler());
    assert.throws(() => object.maps.get('pairs')!.reuse(other), {
      code: 'OBJECT_EDIT',
      message: /it is hash, key 8, value 16 bytes; wanted is hash, key 4/,
    });
  });

  it('pins its maps on loading and finds them there the next time', () => {
    const ids = [1, 2].map(() => {
      const object = openSampler();
      object.maps.get('pairs')!.pinPath = pins.path('pairs');
      const loaded = keep(object.load());
      return loaded.map('pairs').id;
    });
    assert.equal(ids[0], ids[1]);
  });

  it('cannot be edited or loaded again after loading, and closing it then changes nothing', () => {
    const object = openSampler();
    const loaded = keep(object.load());
    assert.throws(() => object.load(), { code: 'CLOSED', message: /loaded already/ });
    assert.throws(
      () => {
        object.maps.get('pairs')!.maxEntries = 4;
      },
      { code: 'CLOSED' },
    );
    object.close();
    assert.equal(loaded.map('pairs').count(), 0);
  });

  it('names what it has when asked for what it has not', () => {
    const loaded = keep(loadSampler('send'));
    assert.throws(() => loaded.map('pears'), { code: 'NOT_FOUND', message: /"pears".*events, .*pairs/ });
    assert.throws(() => loaded.program('say_answer'), {
      code: 'NOT_FOUND',
      message: /no such program loaded, only send/,
    });
  });

  it('closes the maps and programs got from it, and gives out the same ones until then', () => {
    const loaded = loadSampler('send');
    const map = loaded.map('pairs');
    assert.equal(loaded.map('pairs'), map);
    loaded.close();
    assert.throws(() => map.get(Buffer.alloc(4)), { code: 'CLOSED', message: /map "pairs": it is closed/ });
    assert.throws(() => loaded.program('send'), { code: 'CLOSED' });
  });

  it('can leave out maps that no loaded program uses', () => {
    const object = openSampler('say_answer');
    for (const name of ['outer', 'tasks', 'sockets']) object.maps.get(name)!.skip();
    const loaded = keep(object.load());
    assert.ok(loaded.map('pairs').id > 0);
    assert.throws(() => loaded.map('tasks'), BpfError);
  });
});

describe('An object the verifier rejects', () => {
  compileBefore(REFUSED);

  it('gives the reason, the source line, the program and the whole log', () => {
    const object = openObject(compile(REFUSED));
    assert.throws(
      () => object.load(),
      (error: unknown) => {
        assert.ok(error instanceof BpfError);
        assert.equal(error.code, 'VERIFIER');
        assert.equal(error.errno, 'EACCES');
        assert.match(error.message, /program "careless": R\d invalid mem access 'map_value_or_null', at: .*\*value/);
        assert.ok(error.message.length < 300, error.message);
        assert.match(error.log ?? '', /BEGIN PROG LOAD LOG[\s\S]*processed \d+ insns/);
        return true;
      },
    );
    assert.throws(() => object.load(), { code: 'CLOSED' });
  });

  it('loads without the program that was rejected', () => {
    const object = openObject(compile(REFUSED));
    object.programs.get('careless')!.autoload = false;
    const loaded = keep(object.load());
    assert.deepEqual(loaded.programNames, ['careful']);
  });
});

describe('A file that is no object', () => {
  it('is refused with its name, whether it is missing, empty, text or a directory', () => {
    const text = join(tmpdir(), `no-object-${process.pid}`);
    for (const content of ['', 'int main() {}', '\x7fELF\x02\x01\x01']) {
      writeFileSync(text, content);
      assert.throws(() => openObject(text), { code: 'OBJECT_OPEN', message: new RegExp(text) });
    }
    assert.throws(() => openObject('/no/such/object.o'), { code: 'NOT_FOUND', errno: 'ENOENT' });
    assert.throws(() => openObject('/'), BpfError);
    for (const bad of ['', 'a\0b', 'x'.repeat(5000), undefined, 7, {}]) {
      assert.throws(() => openObject(bad as string), { code: 'ARGUMENT' });
    }
  });
});

describe('Global variables of a loaded object', () => {
  compileBefore();

  it('can be read and written through their map', () => {
    const loaded = keep(loadSampler('pass_on'));
    const bss = new TypedMap(loaded.map(loaded.mapNames.find((name) => name.endsWith('.bss'))!), U32, U64);
    loaded.program('pass_on').testRun({ data: PACKET, repeat: 5 });
    assert.equal(bss.get(0), 5n);
    bss.set(0, 100n);
    loaded.program('pass_on').testRun({ data: PACKET });
    assert.equal(bss.get(0), 101n);
  });

  it('are typed like any other map', () => {
    const loaded = keep(loadSampler());
    assert.throws(() => new TypedMap(loaded.map('pairs'), U64, PairLayout), {
      code: 'LAYOUT',
      message: /8 bytes, the key 4/,
    });
  });
});
