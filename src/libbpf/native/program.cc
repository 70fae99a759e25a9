// SPDX-License-Identifier: Apache-2.0
//
// Loaded programs: information, test runs, loading from instructions (for probes).
#include "program.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include "arguments.h"
#include "log.h"

namespace bpfts {

namespace {

constexpr size_t kInstruction = 8;
constexpr size_t kProbeLog = 64 << 10;
constexpr uint32_t kMaxMapIds = 256;

Napi::Value OpenProgramById(const Napi::CallbackInfo& info) {
  return WrapProgram(info.Env(), bpf_prog_get_fd_by_id(Uint32Argument(info, 0)));
}

// (program) → ProgramInfo | -errno
Napi::Value ProgramInfo(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  ProgramHandle& program = Unwrap<ProgramHandle>(info, 0);
  std::vector<uint32_t> map_ids(kMaxMapIds);
  bpf_prog_info details = {};
  details.nr_map_ids = kMaxMapIds;
  details.map_ids = reinterpret_cast<uintptr_t>(map_ids.data());
  uint32_t size = sizeof(details);
  int error = ErrnoOf(bpf_obj_get_info_by_fd(program.fd(), &details, &size));
  if (error < 0) return Errno(env, error);
  char tag[2 * BPF_TAG_SIZE + 1];
  for (size_t i = 0; i < BPF_TAG_SIZE; i++) snprintf(tag + 2 * i, 3, "%02x", details.tag[i]);
  Napi::Array maps = Napi::Array::New(env);
  for (uint32_t i = 0; i < details.nr_map_ids && i < kMaxMapIds; i++) maps.Set(i, map_ids[i]);
  Napi::Object result = Napi::Object::New(env);
  result.Set("type", details.type);
  result.Set("id", details.id);
  result.Set("name", std::string(details.name, strnlen(details.name, sizeof(details.name))));
  result.Set("tag", tag);
  result.Set("loadTime", Napi::BigInt::New(env, static_cast<uint64_t>(details.load_time)));
  result.Set("mapIds", maps);
  result.Set("btfId", details.btf_id);
  result.Set("instructionBytes", details.xlated_prog_len);
  result.Set("jitedBytes", details.jited_prog_len);
  result.Set("runTimeNs", Napi::BigInt::New(env, static_cast<uint64_t>(details.run_time_ns)));
  result.Set("runCount", Napi::BigInt::New(env, static_cast<uint64_t>(details.run_cnt)));
  result.Set("recursionMisses", Napi::BigInt::New(env, static_cast<uint64_t>(details.recursion_misses)));
  result.Set("verifiedInstructions", details.verified_insns);
  return result;
}

// (program, data | undefined, context | undefined, repeat, data out, context out)
//   → {error, retval, dataSize, contextSize, durationNs}
Napi::Value TestRun(const Napi::CallbackInfo& info) {
  ProgramHandle& program = Unwrap<ProgramHandle>(info, 0);
  LIBBPF_OPTS(bpf_test_run_opts, options);
  if (!IsNullish(info, 1)) {
    Bytes data = BytesArgument(info, 1);
    options.data_in = data.data;
    options.data_size_in = data.size;
  }
  if (!IsNullish(info, 2)) {
    Bytes context = BytesArgument(info, 2);
    options.ctx_in = context.data;
    options.ctx_size_in = context.size;
  }
  options.repeat = Uint32Argument(info, 3);
  if (!IsNullish(info, 4)) {
    Bytes data = BytesArgument(info, 4);
    options.data_out = data.data;
    options.data_size_out = data.size;
  }
  if (!IsNullish(info, 5)) {
    Bytes context = BytesArgument(info, 5);
    options.ctx_out = context.data;
    options.ctx_size_out = context.size;
  }
  int error = ErrnoOf(bpf_prog_test_run_opts(program.fd(), &options));
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("error", error);
  result.Set("retval", options.retval);
  result.Set("dataSize", options.data_size_out);
  result.Set("contextSize", options.ctx_size_out);
  result.Set("durationNs", options.duration);
  return result;
}

// The descriptor of a kernel module's BTF, or -errno.
int ModuleBtf(const std::string& module) {
  uint32_t id = 0;
  while (bpf_btf_get_next_id(id, &id) == 0) {
    int fd = bpf_btf_get_fd_by_id(id);
    if (fd < 0) continue;  // unloaded meanwhile
    char name[64] = {};
    bpf_btf_info info = {};
    info.name = reinterpret_cast<uintptr_t>(name);
    info.name_len = sizeof(name);
    uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.kernel_btf && module == name) return fd;
    close(fd);
  }
  return -ENOENT;
}

// (type, expected attach type, name, instructions, kernel BTF target | undefined, module | undefined) → handle | -errno
// Calls of the module's functions have 1 as their offset.
Napi::Value LoadProgram(const Napi::CallbackInfo& info) {
  uint32_t type = Uint32Argument(info, 0);
  uint32_t attach_type = Uint32Argument(info, 1);
  std::string name = StringArgument(info, 2);
  Bytes instructions = BytesArgument(info, 3, kInstruction);
  LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = static_cast<bpf_attach_type>(attach_type));
  if (!IsNullish(info, 4)) {
    std::string target = StringArgument(info, 4);
    int id = ErrnoOf(libbpf_find_vmlinux_btf_id(target.c_str(), static_cast<bpf_attach_type>(attach_type)));
    if (id <= 0) return Errno(info.Env(), id == 0 ? ENOENT : id);
    options.attach_btf_id = static_cast<uint32_t>(id);
  }
  int modules[2] = {-1, -1};
  if (!IsNullish(info, 5)) {
    modules[1] = ModuleBtf(StringArgument(info, 5));
    if (modules[1] < 0) return Errno(info.Env(), modules[1]);
    options.fd_array = modules;
  }
  std::string text(kProbeLog, '\0');
  options.log_level = 1;
  options.log_buf = text.data();
  options.log_size = text.size();
  int fd = bpf_prog_load(static_cast<bpf_prog_type>(type), name.c_str(), "GPL",
                         reinterpret_cast<const bpf_insn*>(instructions.data), instructions.size / kInstruction, &options);
  int error = fd < 0 ? ErrnoOf(fd) : 0;
  if (modules[1] >= 0) close(modules[1]);
  if (error < 0) {
    AppendLog(text.c_str());
    return Errno(info.Env(), error);
  }
  return WrapProgram(info.Env(), fd);
}

}  // namespace

Napi::Value WrapProgram(Napi::Env env, int fd) {
  if (fd < 0) return Errno(env, ErrnoOf(fd));
  return Wrap(env, std::make_unique<ProgramHandle>(fd));
}

void ExportProgram(Napi::Env env, Napi::Object exports) {
  Export<OpenProgramById>(env, exports, "openProgramById");
  Export<ProgramInfo>(env, exports, "programInfo");
  Export<TestRun>(env, exports, "testRun");
  Export<LoadProgram>(env, exports, "loadProgram");
}

}  // namespace bpfts
