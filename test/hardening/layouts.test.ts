import assert from 'node:assert/strict';
import {
  Access,
  CellLayout,
  MatchLayout,
  MountFlags,
  MountOperation,
  MountRuleLayout,
  NetworkRuleLayout,
  Operation,
  ProfileFormat,
  ProfileLayout,
  RulingLayout,
  SocketRuleLayout,
} from '../../src/datapath/layouts.gen.ts';
import * as format from '../../src/hardening/format.ts';
import type { Layout } from '../../src/libbpf/layout.ts';
import { FILE_ACCESSES, MOUNT_OPERATIONS, OPERATIONS } from '../../src/model/hardening.ts';

/** Where a field's first byte lies: the only byte that changes when it is 1. */
function offsetOf<T>(layout: Layout<T>, field: keyof T): number {
  const buffer = Buffer.alloc(layout.size);
  const zero = layout.read(buffer, 0);
  layout.write({ ...zero, [field]: first(zero[field]) }, buffer, 0);
  const offset = buffer.findIndex((byte) => byte !== 0);
  assert.ok(offset >= 0, `${layout.name}.${String(field)}`);
  return offset;
}

/** The same with its first number 1. */
function first(value: unknown): unknown {
  if (typeof value === 'number') return 1;
  if (typeof value === 'bigint') return 1n;
  if (value instanceof Uint8Array) return Uint8Array.from(value, (byte, i) => (i === 0 ? 1 : byte));
  if (Array.isArray(value)) return value.map((one, i) => (i === 0 ? first(one) : one));
  const [key, inner] = Object.entries(value as object)[0] ?? [];
  return { ...(value as object), [key ?? '']: first(inner) };
}

function camelCased(name: string): string {
  const words = name.split('-').map((word) => (word[0] ?? '').toUpperCase() + word.slice(1));
  return words.join('');
}

function numbers(names: readonly string[], numberOf: (index: number) => number): Record<string, number> {
  return Object.fromEntries(names.map((name, i) => [camelCased(name), numberOf(i)]));
}

describe('the pages of a profile', () => {
  const tables: readonly [Layout<never>, Readonly<Record<string, number>>][] = [
    [RulingLayout as Layout<never>, format.RulingOffset],
    [MatchLayout as Layout<never>, format.MatchOffset],
    [SocketRuleLayout as Layout<never>, format.SocketOffset],
    [MountRuleLayout as Layout<never>, format.MountOffset],
    [NetworkRuleLayout as Layout<never>, format.NetworkOffset],
    [ProfileLayout as Layout<never>, format.ProfileOffset],
  ];
  for (const [layout, offsets] of tables) {
    it(`have the fields of struct ${layout.name} where the kernel has them`, () => {
      const { size = layout.size, ...fields } = offsets;
      assert.equal(size, layout.size);
      const zero = layout.read(Buffer.alloc(layout.size), 0) as object;
      assert.deepEqual(Object.keys(fields).sort(), Object.keys(zero).sort());
      for (const [field, offset] of Object.entries(fields)) {
        assert.equal(offset, offsetOf(layout, field as never), `${layout.name}.${field}`);
      }
    });
  }

  it('have the sizes and bits that the kernel expects', () => {
    assert.equal(format.PAGE_BYTES, ProfileFormat.ProfilePageBytes);
    assert.equal(format.CELLS, ProfileFormat.ProfileCells);
    assert.equal(format.CELL_BITS, ProfileFormat.ProfileCellBits);
    assert.equal(format.MATCH_HEAD, ProfileFormat.MatchHead);
    assert.equal(format.MATCH_SINK, ProfileFormat.MatchSink);
    assert.equal(format.MATCH_BITS, ProfileFormat.MatchBits);
    assert.equal(format.REFERENCE_SHIFT, ProfileFormat.RulingsShift);
    const entries = [ProfileFormat.ProfileSockets, ProfileFormat.ProfileMounts, ProfileFormat.ProfileNetworks];
    assert.deepEqual(entries, [format.LIST_ENTRIES, format.LIST_ENTRIES, format.LIST_ENTRIES]);
    assert.equal(format.CELL_BYTES, CellLayout.size);
    assert.equal(format.RULING_BYTES, RulingLayout.size);
    assert.equal(format.MATCH_BYTES, MatchLayout.size);
    assert.deepEqual([offsetOf(CellLayout, 'next'), offsetOf(CellLayout, 'owner')], [0, 4]);
  });

  it('call accesses, operations and flags by the numbers that the kernel has for them', () => {
    const { Max: accessMax, ...accesses } = Access;
    assert.deepEqual(
      numbers(FILE_ACCESSES, (i) => i),
      accesses,
    );
    assert.equal(accessMax, FILE_ACCESSES.length);
    const { Max: operationMax, Module, ...operations } = Operation;
    assert.deepEqual(
      numbers(OPERATIONS, (i) => i),
      { ...operations, KernelModule: Module },
    );
    assert.equal(operationMax, format.OPERATION_NUMBERS);
    assert.deepEqual(numbers(MOUNT_OPERATIONS, format.mountOperationBit), MountOperation);
    assert.deepEqual({ ...format.MountFlag }, { ...MountFlags });
  });
});
