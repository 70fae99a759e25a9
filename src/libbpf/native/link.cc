// SPDX-License-Identifier: Apache-2.0
//
// Links: what keeps a program attached. Those libbpf 1.1 does not know (TCX) are made with bpf(2).
#include "link.h"

#include <cerrno>
#include <cstring>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arguments.h"
#include "log.h"
#include "object.h"
#include "program.h"

namespace bpfts {

namespace {

// The parts of union bpf_attr that Linux 6.6 added (include/uapi/linux/bpf.h).
struct LinkCreateAttr {
  uint32_t program_fd;
  uint32_t target; /* descriptor or interface index */
  uint32_t attach_type;
  uint32_t flags;
  uint32_t relative_fd;
  uint32_t pad;
  uint64_t expected_revision;
  uint8_t rest[32];
};

struct QueryAttr {
  uint32_t target; /* descriptor or interface index */
  uint32_t attach_type;
  uint32_t query_flags;
  uint32_t attach_flags;
  uint64_t program_ids;
  uint32_t count;
  uint32_t pad;
  uint64_t program_attach_flags;
  uint64_t link_ids;
  uint64_t link_attach_flags;
  uint64_t revision;
};

// What every kernel fills of bpf_link_info: the head, and the first words of the union.
struct LinkInfo {
  uint32_t type;
  uint32_t id;
  uint32_t program_id;
  uint32_t pad;
  union {
    uint64_t cgroup_id;
    struct {
      uint32_t first; /* ifindex, netns inode, or a tracing link's attach type */
      uint32_t second;
    };
  };
  uint32_t third;
  uint8_t rest[100];
};

constexpr uint32_t kMaxAttached = 128;

// (program, descriptor or ifindex, attach type, flags) → handle | -errno
Napi::Value CreateLink(const Napi::CallbackInfo& info) {
  LinkCreateAttr attr = {};
  attr.program_fd = static_cast<uint32_t>(Unwrap<ProgramHandle>(info, 0).fd());
  attr.target = Uint32Argument(info, 1);
  attr.attach_type = Uint32Argument(info, 2);
  attr.flags = Uint32Argument(info, 3);
  int fd = static_cast<int>(syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr)));
  return WrapLink(info.Env(), fd);
}

// (program, tracepoint name | undefined for a program that knows its target) → handle | -errno
Napi::Value OpenRawTracepoint(const Napi::CallbackInfo& info) {
  ProgramHandle& program = Unwrap<ProgramHandle>(info, 0);
  std::string name = IsNullish(info, 1) ? "" : StringArgument(info, 1);
  return WrapLink(info.Env(), bpf_raw_tracepoint_open(name.empty() ? nullptr : name.c_str(), program.fd()));
}

// (object, program name) → handle | -errno: attaches as the program's section says.
Napi::Value AttachProgram(const Napi::CallbackInfo& info) {
  bpf_program* program = ProgramArgument(info);
  bpf_link* link = bpf_program__attach(program);
  if (link == nullptr) return Errno(info.Env(), errno ? errno : EINVAL);
  return Wrap(info.Env(), std::make_unique<LinkHandle>(link));
}

Napi::Value UpdateLink(const Napi::CallbackInfo& info) {
  LinkHandle& link = Unwrap<LinkHandle>(info, 0);
  ProgramHandle& program = Unwrap<ProgramHandle>(info, 1);
  return Errno(info.Env(), ErrnoOf(bpf_link_update(link.fd(), program.fd(), nullptr)));
}

Napi::Value DetachLink(const Napi::CallbackInfo& info) {
  return Errno(info.Env(), ErrnoOf(bpf_link_detach(Unwrap<LinkHandle>(info, 0).fd())));
}

Napi::Value OpenLinkById(const Napi::CallbackInfo& info) {
  return WrapLink(info.Env(), bpf_link_get_fd_by_id(Uint32Argument(info, 0)));
}

// (link) → {type, id, programId, cgroupId, words: [3 numbers]} | -errno
Napi::Value GetLinkInfo(const Napi::CallbackInfo& info) {
  LinkInfo details = {};
  uint32_t size = sizeof(details);
  int error = ErrnoOf(bpf_obj_get_info_by_fd(Unwrap<LinkHandle>(info, 0).fd(), &details, &size));
  if (error < 0) return Errno(info.Env(), error);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("type", details.type);
  result.Set("id", details.id);
  result.Set("programId", details.program_id);
  result.Set("cgroupId", Napi::BigInt::New(info.Env(), details.cgroup_id));
  result.Set("first", details.first);
  result.Set("second", details.second);
  result.Set("third", details.third);
  return result;
}

// (descriptor or ifindex, attach type) → {revision, programIds, linkIds} | -errno, in the order they run.
Napi::Value QueryAttached(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint32_t programs[kMaxAttached] = {};
  uint32_t links[kMaxAttached] = {};
  QueryAttr attr = {};
  attr.target = Uint32Argument(info, 0);
  attr.attach_type = Uint32Argument(info, 1);
  bool with_links = BooleanArgument(info, 2);
  attr.program_ids = reinterpret_cast<uintptr_t>(programs);
  if (with_links) attr.link_ids = reinterpret_cast<uintptr_t>(links);
  attr.count = kMaxAttached;
  if (syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof(attr)) < 0) return Errno(env, errno);
  Napi::Array program_ids = Napi::Array::New(env);
  Napi::Array link_ids = Napi::Array::New(env);
  for (uint32_t i = 0; i < attr.count && i < kMaxAttached; i++) {
    program_ids.Set(i, programs[i]);
    link_ids.Set(i, links[i]);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("revision", Napi::BigInt::New(env, attr.revision));
  result.Set("programIds", program_ids);
  result.Set("linkIds", link_ids);
  return result;
}

}  // namespace

LinkHandle::LinkHandle(bpf_link* link) : Handle(kKind), fd_(bpf_link__fd(link)), link_(link) {}

void LinkHandle::Release() {
  if (link_ == nullptr) {
    close(fd_);
    return;
  }
  if (!pinned_) {
    bpf_link__destroy(link_);
    return;
  }
  // Destroying a kprobe's link disables its event even when the link is pinned: let go of our descriptor only.
  // The event's own descriptor stays open until the process ends.
  bpf_link__disconnect(link_);
  bpf_link__destroy(link_);
  close(fd_);
}

Napi::Value WrapLink(Napi::Env env, int fd) {
  if (fd < 0) return Errno(env, ErrnoOf(fd));
  return Wrap(env, std::make_unique<LinkHandle>(fd));
}

void ExportLink(Napi::Env env, Napi::Object exports) {
  Export<CreateLink>(env, exports, "createLink");
  Export<OpenRawTracepoint>(env, exports, "openRawTracepoint");
  Export<AttachProgram>(env, exports, "attachProgram");
  Export<UpdateLink>(env, exports, "updateLink");
  Export<DetachLink>(env, exports, "detachLink");
  Export<OpenLinkById>(env, exports, "openLinkById");
  Export<GetLinkInfo>(env, exports, "linkInfo");
  Export<QueryAttached>(env, exports, "queryAttached");
}

}  // namespace bpfts
