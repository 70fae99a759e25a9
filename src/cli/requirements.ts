/** The least Node.js, major and minor, that has everything the program uses. Older ones must be able to load this. */
export const NODE_LEAST: readonly [major: number, minor: number] = [22, 18];

/** Whether `version`, say `v24.21.0`, will do. */
export function isNodeEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  return major > NODE_LEAST[0] || (major === NODE_LEAST[0] && minor >= NODE_LEAST[1]);
}
