import assert from 'node:assert/strict';
import { SecretKeeper } from '../../src/manager/secrets.ts';
import { nextTagKeys, TAG_KEYS_FILE, TagKeys } from '../../src/manager/tag-keys.ts';
import { KubernetesClient } from '../../src/sources/kubernetes/client.ts';
import type { LooseObject } from '../../src/sources/kubernetes/resource.ts';
import { formatTagKeys, parseTagKeys, type TagKeyFile, tagKeysAt } from '../../src/trust/tag-keys.ts';
import { MemoryApi } from './memory-api.ts';

const MINUTE = 60_000;
const PATH = '/api/v1/namespaces/system/secrets/tag-keys';
const PLAN = { rotateMs: 24 * 60 * MINUTE, activateInMs: 15 * MINUTE };

describe('tag keys of a cluster', () => {
  it('are distributed before they sign, and there is always exactly one that signs', () => {
    let file: TagKeyFile | undefined;
    const known = new Map<number, number>();
    const signed = new Set<number>();
    for (let now = 0; now < 14 * 24 * 60 * MINUTE; now += MINUTE) {
      const next = nextTagKeys(file, PLAN, now);
      if (next !== undefined) file = parseTagKeys(formatTagKeys(next), 'test');
      for (const { epoch } of file!.keys) if (!known.has(epoch)) known.set(epoch, now);
      const { signing, keys } = tagKeysAt(file!, now);
      assert.ok(signing !== undefined && keys.length <= 2);
      signed.add(signing);
      // The first has nobody to wait for.
      if (signing > 1) assert.ok(now - known.get(signing)! >= PLAN.activateInMs, `epoch ${signing} signs too early`);
    }
    assert.ok(signed.size >= 13 && signed.size <= 15, `${signed.size} keys`);
  });

  it('that somebody made by hand are rotated too, and never where that is not wanted', () => {
    const byHand = parseTagKeys(JSON.stringify({ keys: [{ epoch: 3, key: '0'.repeat(31).concat('1') }] }), 'test');
    assert.deepEqual(
      nextTagKeys(byHand, PLAN, 0)?.keys.map(({ epoch }) => epoch),
      [3, 4],
    );
    assert.equal(nextTagKeys(byHand, { ...PLAN, rotateMs: 0 }, 0), undefined);
  });

  const keeper = (api: MemoryApi) => {
    const errors: unknown[] = [];
    const secret = new SecretKeeper(new KubernetesClient(api), 'system', 'tag-keys');
    const logger = { info: () => {}, error: (...all: unknown[]) => void errors.push(all) };
    return { errors, keys: new TagKeys({ secret, plan: PLAN, logger, now: () => 1_000 }) };
  };
  const signal = new AbortController().signal;

  it('are made once, whoever is first, and left as they are', async () => {
    const api = new MemoryApi().ship(PATH);
    await Promise.all([keeper(api).keys.round(signal), keeper(api).keys.round(signal)]);
    await keeper(api).keys.round(signal);
    const [secret] = api.objects.values();
    const data = (secret as { data?: Record<string, string> }).data ?? {};
    const text = Buffer.from(data[TAG_KEYS_FILE] ?? '', 'base64').toString();
    assert.deepEqual(parseTagKeys(text, 'test').signing, 1);
    // The second was too late.
    assert.deepEqual(
      api.writes.map(({ method }) => method),
      ['PUT', 'PUT'],
    );
  });

  it('are not made where the secret has been taken away, and it is told what to do', async () => {
    const api = new MemoryApi();
    const missing = { code: 'NOT_FOUND', hint: /manager-objects\.yaml/ };
    await assert.rejects(keeper(api).keys.round(signal), missing);
    assert.equal(api.writes.length, 0);
  });

  it('leave the secret’s own type, names and notes as they are', async () => {
    const labels = { 'app.kubernetes.io/managed-by': 'Helm' };
    const metadata = {
      name: 'tag-keys',
      namespace: 'system',
      resourceVersion: '7',
      labels,
      annotations: { note: 'x' },
    };
    const api = new MemoryApi();
    api.objects.set(PATH, { metadata, type: 'Opaque' } as never);
    await keeper(api).keys.round(signal);
    const { data, ...rest } = api.objects.get(PATH) as LooseObject & { data?: object };
    assert.deepEqual(Object.keys(data ?? {}), [TAG_KEYS_FILE]);
    const { resourceVersion: _, ...kept } = rest.metadata;
    const { resourceVersion: __, ...before } = metadata;
    assert.deepEqual({ ...kept }, before);
    assert.equal((rest as { type?: string }).type, 'Opaque');
  });

  it('that cannot be read are somebody’s: they are not overwritten, and nothing of them is told', async () => {
    const api = new MemoryApi();
    const data = { [TAG_KEYS_FILE]: Buffer.from('{"secret": 12').toString('base64') };
    api.objects.set(PATH, { metadata: { name: 'tag-keys', resourceVersion: '7' }, data } as never);
    const { keys, errors } = keeper(api);
    await keys.round(signal);
    await keys.round(signal);
    assert.equal(api.writes.length, 0);
    assert.equal(errors.length, 1);
    assert.doesNotMatch(JSON.stringify(errors), /12/);
  });
});
