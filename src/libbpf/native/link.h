// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "handle.h"

namespace bpfts {

// A descriptor of a kernel link, or what libbpf made to attach a program (kprobes have more than one descriptor).
class LinkHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kLink;
  explicit LinkHandle(int fd) : Handle(kKind), fd_(fd), link_(nullptr) {}
  explicit LinkHandle(bpf_link* link);
  ~LinkHandle() override { Close(); }
  int fd() const override { return fd_; }
  void set_pinned() { pinned_ = true; }

 protected:
  void Release() override;

 private:
  int fd_;
  bpf_link* link_;
  bool pinned_ = false;
};

Napi::Value WrapLink(Napi::Env env, int fd);

void ExportLink(Napi::Env env, Napi::Object exports);
void ExportClsact(Napi::Env env, Napi::Object exports);

}  // namespace bpfts
