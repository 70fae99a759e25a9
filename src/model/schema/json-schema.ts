/** JSON Schema of policies, for editors. Checks that need more than one field are made by the agent only. */
import * as z from 'zod';
import { POLICY_SCHEMAS } from './kinds.ts';

/** File name and content of each schema, formatted with a newline at the end. */
export function jsonSchemas(): ReadonlyMap<string, string> {
  const schemas = new Map<string, unknown>();
  for (const [kind, schema] of Object.entries(POLICY_SCHEMAS)) {
    schemas.set(`${kind}.json`, z.toJSONSchema(schema, { target: 'draft-7', io: 'input' }));
  }
  const any = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Sallyport policy',
    oneOf: Object.keys(POLICY_SCHEMAS).map((kind) => ({ $ref: `${kind}.json` })),
  };
  schemas.set('policy.json', any);
  return new Map([...schemas].map(([file, schema]) => [file, `${JSON.stringify(schema, null, 2)}\n`]));
}
