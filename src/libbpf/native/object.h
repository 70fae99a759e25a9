// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>

#include "handle.h"

namespace bpfts {

class ObjectHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kObject;
  explicit ObjectHandle(bpf_object* object) : Handle(kKind), object_(object) {}
  ~ObjectHandle() override { Close(); }
  bpf_object* object() const { return object_; }

 protected:
  void Release() override { bpf_object__close(object_); }

 private:
  bpf_object* object_;
};

// The object in argument 0 and its program named by argument 1. Throws where there is none.
bpf_program* ProgramArgument(const Napi::CallbackInfo& info);

void ExportObject(Napi::Env env, Napi::Object exports);

}  // namespace bpfts
