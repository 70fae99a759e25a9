/** Where a class of attack is described. Only pages whose addresses are made to last. */

/** A technique of MITRE ATT&CK: `T1611`, or `T1552.005` for one below another. */
export const attack = (technique: string): string =>
  `https://attack.mitre.org/techniques/${technique.replace('.', '/')}/`;

/** A weakness: `cwe(269)`. */
export const cwe = (number: number): string => `https://cwe.mitre.org/data/definitions/${number}.html`;

/** A vulnerability: `cve('2022-0492')`. */
export const cve = (number: string): string => `https://www.cve.org/CVERecord?id=CVE-${number}`;

/** `T1611`, `CWE-269`, `CVE-2022-0492`: what a link is called where its address is too long. */
export function linkName(link: string): string {
  const technique = /\/techniques\/(T\d+)(?:\/(\d+))?\/$/.exec(link);
  if (technique !== null) return technique[2] === undefined ? `${technique[1]}` : `${technique[1]}.${technique[2]}`;
  const weakness = /\/definitions\/(\d+)\.html$/.exec(link);
  if (weakness !== null) return `CWE-${weakness[1]}`;
  return /id=(CVE-\d+-\d+)$/.exec(link)?.[1] ?? link;
}
