// SPDX-License-Identifier: Apache-2.0
//
// TC filters on a clsact qdisc: where the kernel has no TCX links. They belong to the interface, not to a process.
#include <cerrno>
#include <system_error>
#include <thread>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sched.h>
#include <unistd.h>

#include "arguments.h"
#include "link.h"
#include "log.h"
#include "program.h"

namespace bpfts {

namespace {

bpf_tc_hook HookArgument(const Napi::CallbackInfo& info) {
  uint32_t point = Uint32Argument(info, 1);
  if (point == 0 || (point & ~(BPF_TC_INGRESS | BPF_TC_EGRESS)) != 0) ThrowArgument(info.Env(), 1, "an attach point");
  int32_t ifindex = Int32Argument(info, 0);
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = static_cast<bpf_tc_attach_point>(point));
  return hook;
}

Napi::Object Filter(Napi::Env env, const bpf_tc_opts& options) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("handle", options.handle);
  result.Set("priority", options.priority);
  result.Set("programId", options.prog_id);
  return result;
}

// (ifindex, attach point): makes the qdisc; -EEXIST when it is there.
Napi::Value CreateClsact(const Napi::CallbackInfo& info) {
  bpf_tc_hook hook = HookArgument(info);
  return Errno(info.Env(), ErrnoOf(bpf_tc_hook_create(&hook)));
}

// (ifindex, attach point): both points remove the qdisc, one removes its filters.
Napi::Value DestroyClsact(const Napi::CallbackInfo& info) {
  bpf_tc_hook hook = HookArgument(info);
  return Errno(info.Env(), ErrnoOf(bpf_tc_hook_destroy(&hook)));
}

// (ifindex, attach point, program, priority, handle, replace) → {handle, priority, programId} | -errno
Napi::Value AttachClsact(const Napi::CallbackInfo& info) {
  bpf_tc_hook hook = HookArgument(info);
  int program = Unwrap<ProgramHandle>(info, 2).fd();
  uint32_t priority = Uint32Argument(info, 3);
  uint32_t handle = Uint32Argument(info, 4);
  uint32_t flags = BooleanArgument(info, 5) ? BPF_TC_F_REPLACE : 0;
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .flags = flags, .handle = handle, .priority = priority);
  int error = ErrnoOf(bpf_tc_attach(&hook, &options));
  if (error < 0) return Errno(info.Env(), error);
  return Filter(info.Env(), options);
}

// (ifindex, attach point, priority, handle) → {handle, priority, programId} | -errno
Napi::Value QueryClsact(const Napi::CallbackInfo& info) {
  bpf_tc_hook hook = HookArgument(info);
  uint32_t priority = Uint32Argument(info, 2);
  uint32_t handle = Uint32Argument(info, 3);
  LIBBPF_OPTS(bpf_tc_opts, options, .handle = handle, .priority = priority);
  int error = ErrnoOf(bpf_tc_query(&hook, &options));
  if (error < 0) return Errno(info.Env(), error);
  return Filter(info.Env(), options);
}

// (ifindex, attach point, priority, handle)
Napi::Value DetachClsact(const Napi::CallbackInfo& info) {
  bpf_tc_hook hook = HookArgument(info);
  uint32_t priority = Uint32Argument(info, 2);
  uint32_t handle = Uint32Argument(info, 3);
  LIBBPF_OPTS(bpf_tc_opts, options, .handle = handle, .priority = priority);
  return Errno(info.Env(), ErrnoOf(bpf_tc_detach(&hook, &options)));
}

// In a network namespace that only this thread has and that goes with it.
int TryFilter(int program) {
  if (unshare(CLONE_NEWNET) < 0) return -errno;
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = 1, .attach_point = BPF_TC_INGRESS);
  int error = ErrnoOf(bpf_tc_hook_create(&hook));
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .handle = 1, .priority = 1);
  return error < 0 ? error : ErrnoOf(bpf_tc_attach(&hook, &options));
}

int TryTcx(int program, uint32_t attach_type) {
  if (unshare(CLONE_NEWNET) < 0) return -errno;
  int fd = bpf_link_create(program, 1, static_cast<bpf_attach_type>(attach_type), nullptr);
  if (fd < 0) return ErrnoOf(fd);
  close(fd);
  return 0;
}

// (program, attach type of a TCX link | 0 for a clsact filter) → 0 | -errno: attaches to a loopback nobody uses.
Napi::Value ProbeInterface(const Napi::CallbackInfo& info) {
  int program = Unwrap<ProgramHandle>(info, 0).fd();
  uint32_t attach_type = Uint32Argument(info, 1);
  int result = -EAGAIN;
  try {
    std::thread thread([&] { result = attach_type == 0 ? TryFilter(program) : TryTcx(program, attach_type); });
    thread.join();
  } catch (const std::system_error& error) {
    result = -error.code().value();
  }
  return Errno(info.Env(), result);
}

}  // namespace

void ExportClsact(Napi::Env env, Napi::Object exports) {
  Export<CreateClsact>(env, exports, "createClsact");
  Export<DestroyClsact>(env, exports, "destroyClsact");
  Export<AttachClsact>(env, exports, "attachClsact");
  Export<QueryClsact>(env, exports, "queryClsact");
  Export<DetachClsact>(env, exports, "detachClsact");
  Export<ProbeInterface>(env, exports, "probeInterface");
}

}  // namespace bpfts
