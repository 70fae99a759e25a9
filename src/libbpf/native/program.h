// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "handle.h"

namespace bpfts {

class ProgramHandle : public DescriptorHandle {
 public:
  static constexpr Kind kKind = Kind::kProgram;
  explicit ProgramHandle(int fd) : DescriptorHandle(kKind, fd) {}
};

// Takes the descriptor. A negative one is read as a failed call: errno is returned.
Napi::Value WrapProgram(Napi::Env env, int fd);

void ExportProgram(Napi::Env env, Napi::Object exports);

}  // namespace bpfts
