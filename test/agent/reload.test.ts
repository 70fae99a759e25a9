import assert from 'node:assert/strict';
import { type Config, configSchema, settings } from '../../src/agent/config.ts';
import { changedSettings, RELOADABLE } from '../../src/agent/reload.ts';

describe('what differs between two configurations', () => {
  const config = (given: object = {}): Config => configSchema.parse(given);

  it('is nothing for the same one', () => {
    assert.deepEqual(changedSettings(config(), config({ log: { level: 'info' } })), []);
  });

  it('is named by the settings, lists whole', () => {
    const agents = [{ name: 'east', cidrs: ['10.2.0.0/16'] }];
    const after = config({
      log: { level: 'debug' },
      hold: { limits: { node: { packets: 7 } } },
      handshake: { agents },
    });
    assert.deepEqual(changedSettings(config(), after), ['hold.limits.node.packets', 'handshake.agents', 'log.level']);
  });

  it('is known by names of settings there are', () => {
    const keys = new Set(settings().map(({ key }) => key));
    for (const key of RELOADABLE) assert.ok(keys.has(key), key);
  });
});
