// SPDX-License-Identifier: Apache-2.0
#include "handle.h"

#include <unistd.h>

#include "arguments.h"

namespace bpfts {

namespace {

constexpr napi_type_tag kHandleTag = {0x6c69626270662d74ULL, 0x732d68616e646c65ULL};

}  // namespace

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kObject: return "object";
    case Kind::kMap: return "map";
    case Kind::kProgram: return "program";
    case Kind::kLink: return "link";
    case Kind::kRing: return "ring";
    case Kind::kNetlink: return "netlink socket";
    case Kind::kPoll: return "poll";
    case Kind::kStats: return "statistics switch";
  }
  return "unknown";
}

void DescriptorHandle::Release() { close(fd_); }

Napi::Value Wrap(Napi::Env env, std::unique_ptr<Handle> handle) {
  auto external = Napi::External<Handle>::New(env, handle.get(), [](Napi::Env, Handle* collected) { delete collected; });
  handle.release();
  external.TypeTag(&kHandleTag);
  return external;
}

Handle& AnyHandle(const Napi::CallbackInfo& info, size_t index, bool allow_closed) {
  Napi::Value value = info[index];
  if (!value.IsExternal() || !value.As<Napi::External<Handle>>().CheckTypeTag(&kHandleTag)) {
    ThrowArgument(info.Env(), index, "a handle");
  }
  Handle& handle = *value.As<Napi::External<Handle>>().Data();
  if (handle.closed() && !allow_closed) {
    ThrowCode(info.Env(), "ERR_BPF_CLOSED", std::string("this ") + KindName(handle.kind()) + " is closed");
  }
  return handle;
}

Handle& HandleOf(const Napi::CallbackInfo& info, size_t index, Kind kind) {
  Handle& handle = AnyHandle(info, index, true);
  if (handle.kind() != kind) {
    ThrowArgument(info.Env(), index, std::string("a ") + KindName(kind) + ", not a " + KindName(handle.kind()));
  }
  return AnyHandle(info, index);
}

}  // namespace bpfts
