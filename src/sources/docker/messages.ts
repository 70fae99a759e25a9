import * as z from 'zod';

/** The parts of the engine's answers that are read; all others are ignored. API 1.24 to 1.51. */

const text = z.string();
const labels = z.record(text, text).nullish();

export const versionSchema = z.object({ ApiVersion: text, MinAPIVersion: text.optional(), Version: text.optional() });

export const listSchema = z.array(z.looseObject({ Id: text }));

const networkSchema = z.object({
  IPAddress: text.nullish(),
  IPPrefixLen: z.int().nullish(),
  GlobalIPv6Address: text.nullish(),
  GlobalIPv6PrefixLen: z.int().nullish(),
});

export const inspectSchema = z.object({
  Id: text,
  Name: text,
  State: z.object({ Running: z.boolean(), Pid: z.int(), StartedAt: text }),
  Config: z.object({ Image: text.nullish(), Labels: labels }).nullish(),
  HostConfig: z.object({ NetworkMode: text.nullish() }).nullish(),
  NetworkSettings: z
    .object({
      Ports: z.record(text, z.array(z.object({ HostIp: text.nullish(), HostPort: text })).nullish()).nullish(),
      Networks: z.record(text, networkSchema.nullish()).nullish(),
    })
    .nullish(),
});

export type Inspected = z.output<typeof inspectSchema>;

export const eventSchema = z.object({
  Type: text,
  Action: text,
  Actor: z.object({ ID: text.nullish(), Attributes: z.record(text, text).nullish() }).nullish(),
});

export type EngineEvent = z.output<typeof eventSchema>;

export const refusalSchema = z.object({ message: text });
