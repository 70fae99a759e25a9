/** The ids runtimes give: 64 hexadecimal digits, of which twelve tell enough apart for people. */
const RUNTIME_ID = /^([0-9a-f]{12})[0-9a-f]{52}$/;

/** An endpoint's id as people read it; ids that are paths stay whole. */
export function shortId(id: string): string {
  return RUNTIME_ID.exec(id)?.[1] ?? id;
}
