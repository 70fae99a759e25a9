/**
 * A function that gives its last result again, the same object, as long as it is called with the same arguments. For what
 * is made of thousands of things that mostly have not changed.
 */
export function keepLast<A extends readonly unknown[], R>(make: (...args: A) => R): (...args: A) => R {
  let last: { readonly args: A; readonly result: R } | undefined;
  return (...args) => {
    const known = last;
    if (known?.args.length === args.length && known.args.every((arg, i) => arg === args[i])) return known.result;
    const result = make(...args);
    last = { args, result };
    return result;
  };
}
