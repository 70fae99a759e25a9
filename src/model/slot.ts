/**
 * Slots that name kinds of peers, as `enum slot` in `bpf/api/types.h`; identities get numbers from `First` on.
 * A test keeps both lists equal.
 */
export const Slot = {
  None: 0,
  /** This node itself. */
  Host: 1,
  /** An address that belongs to nobody we know. */
  World: 2,
  /** Any identity a set does not list. */
  Any: 3,
  /** The most that any identity may: asked while nobody knows yet who is there. */
  Some: 4,
  First: 16,
} as const;

/** `host`, `world`, `any` and `some` for the reserved slots, else undefined. */
export function reservedSlotName(slot: number): 'host' | 'world' | 'any' | 'some' | undefined {
  if (slot === Slot.Host) return 'host';
  if (slot === Slot.World) return 'world';
  if (slot === Slot.Any) return 'any';
  if (slot === Slot.Some) return 'some';
  return undefined;
}
