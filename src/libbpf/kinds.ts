import { BpfError } from './errors.ts';

/** Names of the kernel's numbers (include/uapi/linux/bpf.h): enum bpf_map_type. */
export const MAP_TYPES = {
  hash: 1,
  array: 2,
  program_array: 3,
  perf_event_array: 4,
  percpu_hash: 5,
  percpu_array: 6,
  stack_trace: 7,
  cgroup_array: 8,
  lru_hash: 9,
  lru_percpu_hash: 10,
  lpm_trie: 11,
  array_of_maps: 12,
  hash_of_maps: 13,
  devmap: 14,
  sockmap: 15,
  cpumap: 16,
  xskmap: 17,
  sockhash: 18,
  cgroup_storage: 19,
  reuseport_sockarray: 20,
  percpu_cgroup_storage: 21,
  queue: 22,
  stack: 23,
  socket_storage: 24,
  devmap_hash: 25,
  struct_ops: 26,
  ring_buffer: 27,
  inode_storage: 28,
  task_storage: 29,
  bloom_filter: 30,
  user_ring_buffer: 31,
  cgroup_local_storage: 32,
} as const;
export type MapType = keyof typeof MAP_TYPES;

/** enum bpf_prog_type. */
export const PROGRAM_TYPES = {
  socket_filter: 1,
  kprobe: 2,
  sched_cls: 3,
  sched_act: 4,
  tracepoint: 5,
  xdp: 6,
  perf_event: 7,
  cgroup_skb: 8,
  cgroup_sock: 9,
  lwt_in: 10,
  lwt_out: 11,
  lwt_xmit: 12,
  sock_ops: 13,
  sk_skb: 14,
  cgroup_device: 15,
  sk_msg: 16,
  raw_tracepoint: 17,
  cgroup_sock_addr: 18,
  lwt_seg6local: 19,
  lirc_mode2: 20,
  sk_reuseport: 21,
  flow_dissector: 22,
  cgroup_sysctl: 23,
  raw_tracepoint_writable: 24,
  cgroup_sockopt: 25,
  tracing: 26,
  struct_ops: 27,
  extension: 28,
  lsm: 29,
  sk_lookup: 30,
  syscall: 31,
  netfilter: 32,
} as const;
export type ProgramType = keyof typeof PROGRAM_TYPES;

/** enum bpf_attach_type, those that go on a cgroup. */
export const CGROUP_ATTACH_TYPES = {
  cgroup_inet_ingress: 0,
  cgroup_inet_egress: 1,
  cgroup_inet_sock_create: 2,
  cgroup_sock_ops: 3,
  cgroup_device: 6,
  cgroup_inet4_bind: 8,
  cgroup_inet6_bind: 9,
  cgroup_inet4_connect: 10,
  cgroup_inet6_connect: 11,
  cgroup_inet4_post_bind: 12,
  cgroup_inet6_post_bind: 13,
  cgroup_udp4_sendmsg: 14,
  cgroup_udp6_sendmsg: 15,
  cgroup_sysctl: 18,
  cgroup_udp4_recvmsg: 19,
  cgroup_udp6_recvmsg: 20,
  cgroup_getsockopt: 21,
  cgroup_setsockopt: 22,
  cgroup_inet4_getpeername: 29,
  cgroup_inet6_getpeername: 30,
  cgroup_inet4_getsockname: 31,
  cgroup_inet6_getsockname: 32,
  cgroup_inet_sock_release: 34,
} as const;
export type CgroupAttachType = keyof typeof CGROUP_ATTACH_TYPES;

/** enum bpf_attach_type, others that are named here. */
export const ATTACH_TYPES = {
  trace_raw_tp: 23,
  trace_fentry: 24,
  lsm_mac: 27,
  tcx_ingress: 46,
  tcx_egress: 47,
} as const;

/** enum bpf_link_type. */
export const LINK_TYPES = {
  raw_tracepoint: 1,
  tracing: 2,
  cgroup: 3,
  iterator: 4,
  netns: 5,
  xdp: 6,
  perf_event: 7,
  kprobe_multi: 8,
  struct_ops: 9,
  netfilter: 10,
  tcx: 11,
  uprobe_multi: 12,
  netkit: 13,
  sockmap: 14,
} as const;
export type LinkType = keyof typeof LINK_TYPES;

/** The name of a number of one of the tables above; `type 77` for one this binding does not know. */
export function kindName<K extends string>(table: Readonly<Record<K, number>>, number: number): K | `type ${number}` {
  for (const name in table) if (table[name] === number) return name;
  return `type ${number}`;
}

/** The number of a name. Throws `BpfError` ARGUMENT with the known names. */
export function kindNumber<K extends string>(table: Readonly<Record<K, number>>, name: K, what: string): number {
  if (Object.hasOwn(table, name)) return table[name];
  const known = Object.keys(table).join(', ');
  throw new BpfError('ARGUMENT', {
    attempted: `find the ${what} "${String(name)}"`,
    reason: `the known ones are ${known}`,
  });
}

export type Direction = 'ingress' | 'egress';

/** Throws `BpfError` ARGUMENT for anything else. */
export function checkDirection(direction: Direction): Direction {
  if (direction === 'ingress' || direction === 'egress') return direction;
  throw new BpfError('ARGUMENT', {
    attempted: `attach in direction "${String(direction)}"`,
    reason: 'it is ingress or egress',
  });
}
