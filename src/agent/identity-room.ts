/**
 * How many identities of elsewhere a node takes in, so that whoever can name many leaves room for who runs here, and for
 * slots that rest.
 * @param subjects as many as the kernel's tables hold: `datapath.sizes.subjects`
 */
export function identityRoom(subjects: number): { readonly ofCluster: number; readonly announced: number } {
  return { ofCluster: Math.floor(subjects * 0.6), announced: Math.floor(subjects * 0.3) };
}
