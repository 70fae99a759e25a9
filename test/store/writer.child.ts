/** Writes records and values until it is killed, and says what must survive: the last flushed number, one a line. */
import { openStore } from '../../src/store/index.ts';
import { record } from './records.ts';

const store = openStore(process.argv[2] ?? '', { keepMs: 1e14, most: 1_000_000 });
for (let number = 0; ; number += 100) {
  for (let i = 0; i < 100; i++) store.add(record(number + i));
  store.verified.save([[`k${number}`, { number }]]);
  store.flush();
  process.stdout.write(`${number + 99}\n`);
}
