// SPDX-License-Identifier: Apache-2.0
//
// Pins, ids and the few facts about the system that Node.js has no call for.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <link.h>
#include <linux/magic.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "arguments.h"
#include "exports.h"
#include "link.h"
#include "log.h"
#include "map.h"
#include "program.h"

namespace bpfts {

namespace {

// bpf(2) gives out the same kind of descriptor for everything pinned; its fdinfo tells what it is.
bool IsKind(int fd, const char* field) {
  char path[64];
  snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
  int info = open(path, O_RDONLY | O_CLOEXEC);
  if (info < 0) return false;
  char text[4096];
  ssize_t size = read(info, text, sizeof(text) - 1);
  close(info);
  if (size <= 0) return false;
  text[size] = '\0';
  return strstr(text, field) != nullptr;
}

// (path, "map" | "program" | "link") → handle | -errno; -EMEDIUMTYPE when something else is pinned there.
Napi::Value OpenPinned(const Napi::CallbackInfo& info) {
  std::string path = StringArgument(info, 0);
  std::string kind = StringArgument(info, 1);
  const char* field = kind == "map" ? "\nmap_type:" : kind == "program" ? "\nprog_type:" : kind == "link" ? "\nlink_type:" : nullptr;
  if (field == nullptr) ThrowArgument(info.Env(), 1, "map, program or link");
  int fd = bpf_obj_get(path.c_str());
  if (fd < 0) return Errno(info.Env(), ErrnoOf(fd));
  if (!IsKind(fd, field)) {
    close(fd);
    return Errno(info.Env(), EMEDIUMTYPE);
  }
  if (kind == "map") return WrapMap(info.Env(), fd);
  if (kind == "program") return WrapProgram(info.Env(), fd);
  return WrapLink(info.Env(), fd);
}

// (map, program or link, path)
Napi::Value Pin(const Napi::CallbackInfo& info) {
  Handle& handle = AnyHandle(info, 0);
  if (handle.kind() != Kind::kMap && handle.kind() != Kind::kProgram && handle.kind() != Kind::kLink) {
    ThrowArgument(info.Env(), 0, "a map, program or link");
  }
  std::string path = StringArgument(info, 1);
  int error = ErrnoOf(bpf_obj_pin(handle.fd(), path.c_str()));
  if (error == 0 && handle.kind() == Kind::kLink) static_cast<LinkHandle&>(handle).set_pinned();
  return Errno(info.Env(), error);
}

Napi::Value Close(const Napi::CallbackInfo& info) {
  AnyHandle(info, 0, true).Close();
  return info.Env().Undefined();
}

Napi::Value Descriptor(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), AnyHandle(info, 0).fd()); }

// ("map" | "program" | "link", id) → the next id | -errno; -ENOENT after the last.
Napi::Value NextId(const Napi::CallbackInfo& info) {
  std::string kind = StringArgument(info, 0);
  uint32_t id = Uint32Argument(info, 1);
  uint32_t next = 0;
  int error;
  if (kind == "map") error = bpf_map_get_next_id(id, &next);
  else if (kind == "program") error = bpf_prog_get_next_id(id, &next);
  else if (kind == "link") error = bpf_link_get_next_id(id, &next);
  else ThrowArgument(info.Env(), 0, "map, program or link");
  if (error < 0) return Errno(info.Env(), ErrnoOf(error));
  return Napi::Number::New(info.Env(), next);
}

Napi::Value EnableStats(const Napi::CallbackInfo& info) {
  int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
  if (fd < 0) return Errno(info.Env(), ErrnoOf(fd));
  return Wrap(info.Env(), std::make_unique<DescriptorHandle>(Kind::kStats, fd));
}

Napi::Value PossibleCpus(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), libbpf_num_possible_cpus()); }

// (map type) → 1 supported, 0 not, or -errno
Napi::Value ProbeMapType(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), libbpf_probe_bpf_map_type(static_cast<bpf_map_type>(Uint32Argument(info, 0)), nullptr));
}

// (function name, module | undefined) → its BTF id in the kernel's or the module's BTF | -errno
Napi::Value KernelFunctionId(const Napi::CallbackInfo& info) {
  std::string name = StringArgument(info, 0);
  std::string module = IsNullish(info, 1) ? "" : StringArgument(info, 1);
  btf* kernel = btf__load_vmlinux_btf();
  if (kernel == nullptr) return Errno(info.Env(), errno ? errno : ENOENT);
  btf* types = module.empty() ? kernel : btf__load_module_btf(module.c_str(), kernel);
  int id = types == nullptr ? -errno : ErrnoOf(btf__find_by_name_kind(types, name.c_str(), BTF_KIND_FUNC));
  if (types != kernel) btf__free(types);
  btf__free(kernel);
  return Napi::Number::New(info.Env(), id);
}

// (path of a cgroup-v2 directory) → bigint | -errno
Napi::Value CgroupId(const Napi::CallbackInfo& info) {
  std::string path = StringArgument(info, 0);
  int fd = open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Errno(info.Env(), errno);
  struct {
    file_handle head;
    uint64_t id;
  } handle = {};
  handle.head.handle_bytes = sizeof(handle.id);
  int mount = 0;
  struct statfs filesystem = {};
  int error = 0;
  if (fstatfs(fd, &filesystem) < 0) error = errno;
  else if (filesystem.f_type != CGROUP2_SUPER_MAGIC) error = EMEDIUMTYPE;
  else if (name_to_handle_at(fd, "", &handle.head, &mount, AT_EMPTY_PATH) < 0) error = errno;
  close(fd);
  if (error != 0) return Errno(info.Env(), error);
  uint64_t id;
  memcpy(&id, handle.head.f_handle, sizeof(id));
  return Napi::BigInt::New(info.Env(), id);
}

// (descriptor of a connected UNIX socket) → {pid, uid, gid} | -errno
Napi::Value PeerCredentials(const Napi::CallbackInfo& info) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(Int32Argument(info, 0), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return Errno(info.Env(), errno);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("pid", peer.pid);
  result.Set("uid", peer.uid);
  result.Set("gid", peer.gid);
  return result;
}

// (directory): mounts a bpffs there unless one is.
Napi::Value MountBpffs(const Napi::CallbackInfo& info) {
  std::string path = StringArgument(info, 0);
  struct statfs filesystem = {};
  if (statfs(path.c_str(), &filesystem) < 0) return Errno(info.Env(), errno);
  if (filesystem.f_type == BPF_FS_MAGIC) return Errno(info.Env(), 0);
  return Errno(info.Env(), mount("bpf", path.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0 ? -errno : 0);
}

Napi::Value OpenPidfd(const Napi::CallbackInfo& info) {
  int fd = static_cast<int>(syscall(SYS_pidfd_open, Int32Argument(info, 0), 0));
  return Napi::Number::New(info.Env(), fd < 0 ? -errno : fd);
}

// (pidfd, signal)
Napi::Value SignalPidfd(const Napi::CallbackInfo& info) {
  long result = syscall(SYS_pidfd_send_signal, Int32Argument(info, 0), Int32Argument(info, 1), nullptr, 0);
  return Errno(info.Env(), result < 0 ? errno : 0);
}

// Gives memory that is free inside the C heap back to the system.
Napi::Value TrimHeap(const Napi::CallbackInfo& info) {
#ifdef __GLIBC__
  return Napi::Boolean::New(info.Env(), malloc_trim(0) != 0);
#else
  return Napi::Boolean::New(info.Env(), false);
#endif
}

// Whether all that is held of these pages is the file's: a debugger or a uprobe makes pages of its own, which may be present
// or swapped out (proc_pid_pagemap(5)).
bool IsUntouched(int pagemap, uintptr_t begin, uintptr_t end, size_t page) {
  constexpr uint64_t kHeld = 3ull << 62, kOfFile = 1ull << 61;
  uint64_t entries[512];
  for (uintptr_t at = begin; at < end;) {
    size_t count = std::min((end - at) / page, std::size(entries));
    ssize_t size = pread(pagemap, entries, count * sizeof(entries[0]), static_cast<off_t>(at / page * sizeof(entries[0])));
    if (size != static_cast<ssize_t>(count * sizeof(entries[0]))) return false;
    for (size_t i = 0; i < count; i++) {
      if ((entries[i] & kHeld) != 0 && (entries[i] & kOfFile) == 0) return false;
    }
    at += count * page;
  }
  return true;
}

// For dl_iterate_phdr(3), whose first object is the program itself: lets go of what it never writes.
int ReleaseObject(dl_phdr_info* object, size_t, void* pagemap) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  bool released = false;
  for (int i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    uintptr_t begin = (object->dlpi_addr + segment.p_vaddr + page - 1) / page * page;
    uintptr_t end = (object->dlpi_addr + segment.p_vaddr + segment.p_memsz) / page * page;
    if (begin >= end || !IsUntouched(*static_cast<int*>(pagemap), begin, end, page)) continue;
    if (madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED) == 0) released = true;
  }
  return released ? 1 : -1;
}

// Unmaps the pages of the program's own file; those that are used again come back from the page cache.
Napi::Value ReleaseProgram(const Napi::CallbackInfo& info) {
  int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (pagemap < 0) return Napi::Boolean::New(info.Env(), false);
  bool released = dl_iterate_phdr(ReleaseObject, &pagemap) > 0;
  close(pagemap);
  return Napi::Boolean::New(info.Env(), released);
}

}  // namespace

void ExportSystem(Napi::Env env, Napi::Object exports) {
  Export<OpenPinned>(env, exports, "openPinned");
  Export<Pin>(env, exports, "pin");
  Export<Close>(env, exports, "close");
  Export<Descriptor>(env, exports, "descriptor");
  Export<NextId>(env, exports, "nextId");
  Export<EnableStats>(env, exports, "enableStats");
  Export<PossibleCpus>(env, exports, "possibleCpus");
  Export<ProbeMapType>(env, exports, "probeMapType");
  Export<KernelFunctionId>(env, exports, "kernelFunctionId");
  Export<CgroupId>(env, exports, "cgroupId");
  Export<PeerCredentials>(env, exports, "peerCredentials");
  Export<MountBpffs>(env, exports, "mountBpffs");
  Export<OpenPidfd>(env, exports, "openPidfd");
  Export<SignalPidfd>(env, exports, "signalPidfd");
  Export<TrimHeap>(env, exports, "trimHeap");
  Export<ReleaseProgram>(env, exports, "releaseProgram");
}

}  // namespace bpfts
