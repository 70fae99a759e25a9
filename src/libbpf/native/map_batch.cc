// SPDX-License-Identifier: Apache-2.0
//
// Maps, many elements a call. Where the kernel has no batch operation for a map's type, the loop over single
// elements runs here, so that callers pay for one call either way.
#include <algorithm>
#include <cerrno>

#include <bpf/bpf.h>

#include "arguments.h"
#include "log.h"
#include "map.h"

namespace bpfts {

namespace {

// The kernel's own errno for "this map type has no such operation"; it is in no user-space header.
constexpr int kNotSupported = 524;

Napi::Value Outcome(Napi::Env env, uint32_t count, int error) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("count", count);
  result.Set("error", error);
  return result;
}

uint32_t CountArgument(const Napi::CallbackInfo& info, size_t index) {
  uint32_t count = Uint32Argument(info, index);
  if (count == 0) ThrowArgument(info.Env(), index, "at least 1");
  return count;
}

// (map, cursor in/out, first, keys out, values out, count) → {count, error}
// The cursor is the kernel's: 4 bytes for hash maps, a key for the others.
Napi::Value MapLookupBatch(const Napi::CallbackInfo& info) {
  MapHandle& map = Unwrap<MapHandle>(info, 0);
  Bytes cursor = BytesArgument(info, 1, std::max<size_t>(4, map.key_size));
  bool first = BooleanArgument(info, 2);
  uint32_t count = CountArgument(info, 5);
  Bytes keys = BytesArgument(info, 3, static_cast<size_t>(count) * map.key_size);
  Bytes values = BytesArgument(info, 4, static_cast<size_t>(count) * map.value_bytes);
  uint32_t found = count;
  int error = ErrnoOf(bpf_map_lookup_batch(map.fd(), first ? nullptr : cursor.data, cursor.data, keys.data, values.data,
                                           &found, nullptr));
  // Only these two come with elements; after the others the count is as it was passed.
  if (error < 0 && error != -ENOENT) found = 0;
  return Outcome(info.Env(), std::min(found, count), error);
}

// (map, keys, values, count, flags) → {count stored, error of the one after them}
Napi::Value MapUpdateBatch(const Napi::CallbackInfo& info) {
  MapHandle& map = Unwrap<MapHandle>(info, 0);
  uint32_t count = CountArgument(info, 3);
  Bytes keys = BytesArgument(info, 1, static_cast<size_t>(count) * map.key_size);
  Bytes values = BytesArgument(info, 2, static_cast<size_t>(count) * map.value_bytes);
  uint32_t flags = Uint32Argument(info, 4);
  LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = flags);
  uint32_t done = count;
  int error = ErrnoOf(bpf_map_update_batch(map.fd(), keys.data, values.data, &done, &options));
  // Before 5.6 there is no batch command, before 5.13 not for every type: then nothing was written.
  if (error != -kNotSupported && error != -EINVAL) return Outcome(info.Env(), std::min(done, count), error);
  error = 0;
  for (done = 0; done < count; done++) {
    error = ErrnoOf(bpf_map_update_elem(map.fd(), keys.data + static_cast<size_t>(done) * map.key_size,
                                        values.data + static_cast<size_t>(done) * map.value_bytes, flags));
    if (error < 0) break;
  }
  return Outcome(info.Env(), done, error);
}

// (map, keys, count) → {count deleted, error}. Keys that are not there are passed over.
Napi::Value MapDeleteBatch(const Napi::CallbackInfo& info) {
  MapHandle& map = Unwrap<MapHandle>(info, 0);
  uint32_t count = CountArgument(info, 2);
  Bytes keys = BytesArgument(info, 1, static_cast<size_t>(count) * map.key_size);
  uint32_t deleted = 0;
  uint32_t at = 0;
  bool batched = true;
  while (at < count) {
    uint8_t* from = keys.data + static_cast<size_t>(at) * map.key_size;
    uint32_t done = batched ? count - at : 1;
    int error = ErrnoOf(batched ? bpf_map_delete_batch(map.fd(), from, &done, nullptr) : bpf_map_delete_elem(map.fd(), from));
    if (batched && (error == -kNotSupported || error == -EINVAL)) {
      batched = false;
      continue;
    }
    if (error < 0 && !batched) done = 0;
    done = std::min(done, count - at);
    deleted += done;
    at += done;
    if (error == -ENOENT) at++;
    else if (error < 0) return Outcome(info.Env(), deleted, error);
    else if (done == 0) return Outcome(info.Env(), deleted, -EIO);
  }
  return Outcome(info.Env(), deleted, 0);
}

}  // namespace

void ExportMapBatch(Napi::Env env, Napi::Object exports) {
  Export<MapLookupBatch>(env, exports, "mapLookupBatch");
  Export<MapUpdateBatch>(env, exports, "mapUpdateBatch");
  Export<MapDeleteBatch>(env, exports, "mapDeleteBatch");
}

}  // namespace bpfts
