/** The least version that has everything the program uses; an older one would fail somewhere in the midst. */
const NODE_LEAST = [22, 18] as const;

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < NODE_LEAST[0] || (major === NODE_LEAST[0] && minor < NODE_LEAST[1])) {
  process.stderr.write(`sallyport needs Node.js ${NODE_LEAST.join('.')} or later; this is ${process.version}\n`);
  process.exit(1);
}
const { main } = await import('./process.ts');
await main(process.argv.slice(2));
