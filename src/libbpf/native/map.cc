// SPDX-License-Identifier: Apache-2.0
//
// Maps, one element at a time. Buffers are checked against the sizes the kernel reports for the map.
#include "map.h"

#include <cerrno>
#include <cstring>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include "arguments.h"
#include "log.h"

namespace bpfts {

namespace {

size_t ValueBytes(const bpf_map_info& info) {
  switch (info.type) {
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_PERCPU_ARRAY:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
    case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE: {
      size_t slot = (static_cast<size_t>(info.value_size) + 7) & ~static_cast<size_t>(7);
      return slot * static_cast<size_t>(libbpf_num_possible_cpus());
    }
    default:
      return info.value_size;
  }
}

// Queues and stacks have no keys.
const void* KeyArgument(const Napi::CallbackInfo& info, size_t index, const MapHandle& map) {
  Bytes key = BytesArgument(info, index, map.key_size);
  return map.key_size == 0 ? nullptr : key.data;
}

// (map, key, value out, flags)
Napi::Value MapLookup(const Napi::CallbackInfo& info) {
  MapHandle& map = Unwrap<MapHandle>(info, 0);
  const void* key = KeyArgument(info, 1, map);
  Bytes value = BytesArgument(info, 2, map.value_bytes);
  return Errno(info.Env(), ErrnoOf(bpf_map_lookup_elem_flags(map.fd(), key, value.data, Uint32Argument(info, 3))));
}

// (map, key, value out)
Napi::Value MapTake(const Napi::CallbackInfo& info) {
  MapHandle& map = Unwrap<MapHandle>(info, 0);
  const void* key = KeyArgument(info, 1, map);
  Bytes value = BytesArgument(info, 2, map.value_bytes);
  return Errno(info.Env(), ErrnoOf(bpf_map_lookup_and_delete_elem(map.fd(), key, value.data)));
}

// (map, key, value, flags)
Napi::Value MapUpdate(const Napi::CallbackInfo& info) {
  MapHandle& map = Unwrap<MapHandle>(info, 0);
  const void* key = KeyArgument(info, 1, map);
  Bytes value = BytesArgument(info, 2, map.value_bytes);
  return Errno(info.Env(), ErrnoOf(bpf_map_update_elem(map.fd(), key, value.data, Uint32Argument(info, 3))));
}

// (map, key, inner map, flags): maps of maps.
Napi::Value MapUpdateInner(const Napi::CallbackInfo& info) {
  MapHandle& map = Unwrap<MapHandle>(info, 0);
  const void* key = KeyArgument(info, 1, map);
  uint32_t inner = static_cast<uint32_t>(Unwrap<MapHandle>(info, 2).fd());
  if (map.type != BPF_MAP_TYPE_ARRAY_OF_MAPS && map.type != BPF_MAP_TYPE_HASH_OF_MAPS) return Errno(info.Env(), EINVAL);
  return Errno(info.Env(), ErrnoOf(bpf_map_update_elem(map.fd(), key, &inner, Uint32Argument(info, 3))));
}

Napi::Value MapDelete(const Napi::CallbackInfo& info) {
  MapHandle& map = Unwrap<MapHandle>(info, 0);
  return Errno(info.Env(), ErrnoOf(bpf_map_delete_elem(map.fd(), KeyArgument(info, 1, map))));
}

// (map, key | undefined for the first, next out)
Napi::Value MapNextKey(const Napi::CallbackInfo& info) {
  MapHandle& map = Unwrap<MapHandle>(info, 0);
  const void* key = IsNullish(info, 1) ? nullptr : KeyArgument(info, 1, map);
  Bytes next = BytesArgument(info, 2, map.key_size);
  return Errno(info.Env(), ErrnoOf(bpf_map_get_next_key(map.fd(), key, next.data)));
}

Napi::Value MapFreeze(const Napi::CallbackInfo& info) {
  return Errno(info.Env(), ErrnoOf(bpf_map_freeze(Unwrap<MapHandle>(info, 0).fd())));
}

// (type, name, keySize, valueSize, maxEntries, flags, inner map | undefined) → handle | -errno
Napi::Value CreateMap(const Napi::CallbackInfo& info) {
  uint32_t type = Uint32Argument(info, 0);
  std::string name = StringArgument(info, 1);
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = Uint32Argument(info, 5));
  if (!IsNullish(info, 6)) options.inner_map_fd = static_cast<uint32_t>(Unwrap<MapHandle>(info, 6).fd());
  return WrapMap(info.Env(), bpf_map_create(static_cast<bpf_map_type>(type), name.c_str(), Uint32Argument(info, 2),
                                            Uint32Argument(info, 3), Uint32Argument(info, 4), &options));
}

Napi::Value OpenMapById(const Napi::CallbackInfo& info) {
  return WrapMap(info.Env(), bpf_map_get_fd_by_id(Uint32Argument(info, 0)));
}

// (map) → {type, id, name, keySize, valueSize, maxEntries, flags, valueBytes, frozen is in fdinfo only} | -errno
Napi::Value MapInfo(const Napi::CallbackInfo& info) {
  MapHandle& map = Unwrap<MapHandle>(info, 0);
  bpf_map_info details = {};
  uint32_t size = sizeof(details);
  int error = ErrnoOf(bpf_obj_get_info_by_fd(map.fd(), &details, &size));
  if (error < 0) return Errno(info.Env(), error);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("type", details.type);
  result.Set("id", details.id);
  result.Set("name", std::string(details.name, strnlen(details.name, sizeof(details.name))));
  result.Set("keySize", details.key_size);
  result.Set("valueSize", details.value_size);
  result.Set("maxEntries", details.max_entries);
  result.Set("flags", details.map_flags);
  result.Set("valueBytes", static_cast<double>(map.value_bytes));
  return result;
}

}  // namespace

MapHandle::MapHandle(int fd, const bpf_map_info& info)
    : DescriptorHandle(kKind, fd), type(info.type), key_size(info.key_size), value_bytes(ValueBytes(info)) {}

Napi::Value WrapMap(Napi::Env env, int fd) {
  if (fd < 0) return Errno(env, ErrnoOf(fd));
  bpf_map_info info = {};
  uint32_t size = sizeof(info);
  int error = ErrnoOf(bpf_obj_get_info_by_fd(fd, &info, &size));
  if (error < 0) {
    close(fd);
    return Errno(env, error);
  }
  return Wrap(env, std::make_unique<MapHandle>(fd, info));
}

void ExportMap(Napi::Env env, Napi::Object exports) {
  Export<MapLookup>(env, exports, "mapLookup");
  Export<MapTake>(env, exports, "mapTake");
  Export<MapUpdate>(env, exports, "mapUpdate");
  Export<MapUpdateInner>(env, exports, "mapUpdateInner");
  Export<MapDelete>(env, exports, "mapDelete");
  Export<MapNextKey>(env, exports, "mapNextKey");
  Export<MapFreeze>(env, exports, "mapFreeze");
  Export<CreateMap>(env, exports, "createMap");
  Export<OpenMapById>(env, exports, "openMapById");
  Export<MapInfo>(env, exports, "mapInfo");
}

}  // namespace bpfts
