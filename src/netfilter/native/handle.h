// SPDX-License-Identifier: Apache-2.0
//
// What JavaScript holds of a socket: an External with a type tag around a Handle that knows its own kind. A foreign
// value, another kind or a closed handle is an exception, never a wrong pointer. Closing twice does nothing; what nobody
// closed is closed when it is collected or the environment ends.
#pragma once

#include <memory>

#include <napi.h>

namespace netfilter {

enum class Kind { kQueue, kSender, kConntrack };

const char* KindName(Kind kind);

class Handle {
 public:
  explicit Handle(Kind kind) : kind_(kind) {}
  virtual ~Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  Kind kind() const { return kind_; }
  bool closed() const { return closed_; }

  void Close() {
    if (closed_) return;
    closed_ = true;
    Release();
  }

 protected:
  // Called once. Destructors of the derived classes call Close().
  virtual void Release() = 0;

 private:
  const Kind kind_;
  bool closed_ = false;
};

Napi::Value Wrap(Napi::Env env, std::unique_ptr<Handle> handle);

// Throws unless argument `index` is one of our handles; closed ones only when `allow_closed`.
Handle& AnyHandle(const Napi::CallbackInfo& info, size_t index, bool allow_closed = false);
Handle& HandleOf(const Napi::CallbackInfo& info, size_t index, Kind kind);

template <typename T>
T& Unwrap(const Napi::CallbackInfo& info, size_t index) {
  return static_cast<T&>(HandleOf(info, index, T::kKind));
}

void ExportQueue(Napi::Env env, Napi::Object exports);
void ExportVerdicts(Napi::Env env, Napi::Object exports);
void ExportWatch(Napi::Env env, Napi::Object exports);
void ExportSender(Napi::Env env, Napi::Object exports);
void ExportTable(Napi::Env env, Napi::Object exports);
void ExportConntrack(Napi::Env env, Napi::Object exports);

}  // namespace netfilter
