// SPDX-License-Identifier: Apache-2.0
//
// What JavaScript holds of the kernel's and libbpf's objects: an External with a type tag around a Handle that
// knows its own kind. A foreign value, another kind or a closed handle is an exception, never a wrong pointer.
// Closing twice does nothing; what nobody closed is closed when it is collected or the environment ends.
#pragma once

#include <memory>
#include <string>

#include <napi.h>

struct bpf_link;
struct bpf_object;

namespace bpfts {

enum class Kind { kObject, kMap, kProgram, kLink, kRing, kNetlink, kPoll, kStats };

const char* KindName(Kind kind);

class Handle {
 public:
  explicit Handle(Kind kind) : kind_(kind) {}
  virtual ~Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  Kind kind() const { return kind_; }
  bool closed() const { return closed_; }
  // The descriptor to poll, pin or ask about; -1 where there is none.
  virtual int fd() const { return -1; }

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

// A handle that is a descriptor and nothing else.
class DescriptorHandle : public Handle {
 public:
  DescriptorHandle(Kind kind, int fd) : Handle(kind), fd_(fd) {}
  ~DescriptorHandle() override { Close(); }
  int fd() const override { return fd_; }

 protected:
  void Release() override;

 private:
  int fd_;
};

Napi::Value Wrap(Napi::Env env, std::unique_ptr<Handle> handle);

// Throws unless argument `index` is one of our handles; closed ones only when `allow_closed`.
Handle& AnyHandle(const Napi::CallbackInfo& info, size_t index, bool allow_closed = false);
Handle& HandleOf(const Napi::CallbackInfo& info, size_t index, Kind kind);

template <typename T>
T& Unwrap(const Napi::CallbackInfo& info, size_t index) {
  return static_cast<T&>(HandleOf(info, index, T::kKind));
}

}  // namespace bpfts
