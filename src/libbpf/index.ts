/** libbpf-ts: eBPF from TypeScript, on libbpf. See docs/libbpf-ts.md. */
export { ClsactFilter, type ClsactPlace, removeClsact } from './clsact.ts';
export { type BpfErrorCode, ERROR_TABLE, type ErrorRow } from './error-table.ts';
export { BpfError, type BpfErrorDetails, errnoMessage, errnoName } from './errors.ts';
export { FEATURE_NAMES, type Feature, type FeatureName, probeFeature, probeFeatures } from './features.ts';
export {
  ATTACH_TYPES,
  CGROUP_ATTACH_TYPES,
  type CgroupAttachType,
  type Direction,
  LINK_TYPES,
  type LinkType,
  MAP_TYPES,
  type MapType,
  PROGRAM_TYPES,
  type ProgramType,
} from './kinds.ts';
export { BOOL, bytesLayout, I32, type Layout, U8, U16, U32, U64 } from './layout.ts';
export { BpfLink, type IterateOptions, type LinkInfo } from './link.ts';
export {
  BPF_F_INNER_MAP,
  BPF_F_NO_PREALLOC,
  BPF_F_RDONLY,
  BpfMap,
  type MapDefinition,
  type UpdateFlags,
} from './map.ts';
export type { MapBatch } from './map-iteration.ts';
export type { NamespaceOptions } from './netlink.ts';
export {
  type Family,
  formatAddress,
  listAddresses,
  listLinks,
  listNetwork,
  listRoutes,
  type NetworkAddress,
  type NetworkChange,
  type NetworkLink,
  type NetworkRoute,
  netnsId,
} from './network.ts';
export { LoadedObject, OpenMap, OpenObject, type OpenOptions, OpenProgram, openObject } from './object.ts';
export {
  BpfProgram,
  type ProgramInfo,
  queryTcx,
  type TcxPlace,
  type TestRunOptions,
  type TestRunResult,
} from './program.ts';
export { type RecordBatch, RingBuffer, type RingBufferOptions, type RingStatus } from './ring-buffer.ts';
export { enableStatistics, type Statistics } from './statistics.ts';
export {
  type Credentials,
  cgroupId,
  findCgroup2Mount,
  hasKernelFunction,
  kernelIds,
  mountBpffs,
  openPidfd,
  peerCredentials,
  possibleCpus,
  releaseProgram,
  signalPidfd,
  trimHeap,
} from './system.ts';
export { MapOfMaps, PerCpuMap, StorageMap, TypedMap } from './typed-map.ts';
export { type LogSummary, summarizeLog } from './verifier-log.ts';
export { LinkWatcher, type WatchOptions, watchLinks } from './watch-links.ts';
