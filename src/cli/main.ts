import { isNodeEnough, NODE_LEAST } from './requirements.ts';

if (!isNodeEnough(process.version)) {
  process.stderr.write(`sallyport needs Node.js ${NODE_LEAST.join('.')} or later; this is ${process.version}\n`);
  process.exit(1);
}
// Not before: what an older Node lacks would fail somewhere in the midst.
const { main } = await import('./process.ts');
await main(process.argv.slice(2));
