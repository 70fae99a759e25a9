// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/bpf.h>

#include "handle.h"

namespace bpfts {

class MapHandle : public DescriptorHandle {
 public:
  static constexpr Kind kKind = Kind::kMap;
  MapHandle(int fd, const bpf_map_info& info);

  const uint32_t type;
  const uint32_t key_size;
  // Bytes of a value as system calls take it: of a per-CPU map, all possible CPUs' values.
  const size_t value_bytes;
};

// Takes the descriptor (closes it on failure). A negative one is read as a failed call: errno is returned.
Napi::Value WrapMap(Napi::Env env, int fd);

void ExportMap(Napi::Env env, Napi::Object exports);
void ExportMapBatch(Napi::Env env, Napi::Object exports);

}  // namespace bpfts
