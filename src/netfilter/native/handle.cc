// SPDX-License-Identifier: Apache-2.0
#include "handle.h"

#include <string>

#include "arguments.h"

namespace netfilter {

namespace {

constexpr napi_type_tag kHandleTag = {0x6e657466696c7465ULL, 0x722d68616e646c65ULL};

}  // namespace

const char* KindName(Kind kind) {
  if (kind == Kind::kConntrack) return "conntrack socket";
  return kind == Kind::kQueue ? "packet queue" : "packet sender";
}

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
    ThrowCode(info.Env(), "ERR_NETFILTER_CLOSED", std::string("this ") + KindName(handle.kind()) + " is closed");
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

}  // namespace netfilter
