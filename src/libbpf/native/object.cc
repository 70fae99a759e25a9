// SPDX-License-Identifier: Apache-2.0
//
// ELF objects before and while they are loaded.
#include "object.h"

#include <cerrno>
#include <cstring>

#include <bpf/btf.h>
#include <fcntl.h>

#include <csignal>

#include "arguments.h"
#include "log.h"
#include "map.h"
#include "program.h"

namespace bpfts {

namespace {

// By its place in objectMaps: a map that another is reused for takes that one's name.
bpf_map* MapArgument(const Napi::CallbackInfo& info) {
  ObjectHandle& object = Unwrap<ObjectHandle>(info, 0);
  uint32_t index = Uint32Argument(info, 1);
  bpf_map* map = bpf_object__next_map(object.object(), nullptr);
  for (uint32_t i = 0; i < index && map != nullptr; i++) map = bpf_object__next_map(object.object(), map);
  if (map == nullptr) ThrowArgument(info.Env(), 1, "the place of a map of this object");
  return map;
}

// (path, btfPath | undefined) → handle | -errno
Napi::Value OpenObject(const Napi::CallbackInfo& info) {
  std::string path = StringArgument(info, 0);
  std::string btf = IsNullish(info, 1) ? "" : StringArgument(info, 1);
  LIBBPF_OPTS(bpf_object_open_opts, options);
  if (!btf.empty()) options.btf_custom_path = btf.c_str();
  bpf_object* object = bpf_object__open_file(path.c_str(), &options);
  if (object == nullptr) return Errno(info.Env(), errno ? errno : EINVAL);
  return Wrap(info.Env(), std::make_unique<ObjectHandle>(object));
}

// (object) → [{name, type, keySize, valueSize, maxEntries, flags, pinPath, internal}]
Napi::Value ObjectMaps(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  ObjectHandle& object = Unwrap<ObjectHandle>(info, 0);
  Napi::Array maps = Napi::Array::New(env);
  const bpf_map* map;
  bpf_object__for_each_map(map, object.object()) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", bpf_map__name(map));
    entry.Set("type", static_cast<uint32_t>(bpf_map__type(map)));
    entry.Set("keySize", bpf_map__key_size(map));
    entry.Set("valueSize", bpf_map__value_size(map));
    entry.Set("flags", bpf_map__map_flags(map));
    entry.Set("internal", bpf_map__is_internal(map));
    maps.Set(maps.Length(), entry);
  }
  return maps;
}

// (object) → [{name, section, type, attachType}]
Napi::Value ObjectPrograms(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  ObjectHandle& object = Unwrap<ObjectHandle>(info, 0);
  Napi::Array programs = Napi::Array::New(env);
  bpf_program* program;
  bpf_object__for_each_program(program, object.object()) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", bpf_program__name(program));
    entry.Set("section", bpf_program__section_name(program));
    entry.Set("type", static_cast<uint32_t>(bpf_program__type(program)));
    entry.Set("attachType", static_cast<uint32_t>(bpf_program__expected_attach_type(program)));
    programs.Set(programs.Length(), entry);
  }
  return programs;
}

Napi::Value ObjectMapMaxEntries(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), bpf_map__max_entries(MapArgument(info)));
}

Napi::Value ObjectMapSetMaxEntries(const Napi::CallbackInfo& info) {
  bpf_map* map = MapArgument(info);
  uint32_t entries = Uint32Argument(info, 2);
  return Errno(info.Env(), ErrnoOf(bpf_map__set_max_entries(map, entries)));
}

Napi::Value ObjectMapPinPath(const Napi::CallbackInfo& info) {
  const char* path = bpf_map__pin_path(MapArgument(info));
  return path == nullptr ? info.Env().Undefined() : Napi::String::New(info.Env(), path);
}

// (object, map, path | undefined)
Napi::Value ObjectMapSetPinPath(const Napi::CallbackInfo& info) {
  bpf_map* map = MapArgument(info);
  std::string path = IsNullish(info, 2) ? "" : StringArgument(info, 2);
  return Errno(info.Env(), ErrnoOf(bpf_map__set_pin_path(map, path.empty() ? nullptr : path.c_str())));
}

// (object, map, BpfMap): the object will use that map instead of making its own.
Napi::Value ObjectMapReuse(const Napi::CallbackInfo& info) {
  bpf_map* map = MapArgument(info);
  MapHandle& existing = Unwrap<MapHandle>(info, 2);
  return Errno(info.Env(), ErrnoOf(bpf_map__reuse_fd(map, existing.fd())));
}

// (object, map, BpfMap): the shape of the maps in a map of maps.
Napi::Value ObjectMapSetInner(const Napi::CallbackInfo& info) {
  bpf_map* map = MapArgument(info);
  MapHandle& inner = Unwrap<MapHandle>(info, 2);
  return Errno(info.Env(), ErrnoOf(bpf_map__set_inner_map_fd(map, inner.fd())));
}

Napi::Value ObjectMapSetAutocreate(const Napi::CallbackInfo& info) {
  bpf_map* map = MapArgument(info);
  bool create = BooleanArgument(info, 2);
  return Errno(info.Env(), ErrnoOf(bpf_map__set_autocreate(map, create)));
}

Napi::Value ObjectMapInitialValue(const Napi::CallbackInfo& info) {
  size_t size = 0;
  const void* value = bpf_map__initial_value(MapArgument(info), &size);
  if (value == nullptr) return Errno(info.Env(), ENOENT);
  return Napi::Buffer<uint8_t>::Copy(info.Env(), static_cast<const uint8_t*>(value), size);
}

Napi::Value ObjectMapSetInitialValue(const Napi::CallbackInfo& info) {
  bpf_map* map = MapArgument(info);
  Bytes value = BytesArgument(info, 2);
  return Errno(info.Env(), ErrnoOf(bpf_map__set_initial_value(map, value.data, value.size)));
}

Napi::Value ObjectProgramAutoload(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), bpf_program__autoload(ProgramArgument(info)));
}

Napi::Value ObjectProgramSetAutoload(const Napi::CallbackInfo& info) {
  bpf_program* program = ProgramArgument(info);
  bool load = BooleanArgument(info, 2);
  return Errno(info.Env(), ErrnoOf(bpf_program__set_autoload(program, load)));
}

Napi::Value LoadObject(const Napi::CallbackInfo& info) {
  ObjectHandle& object = Unwrap<ObjectHandle>(info, 0);
  // The verifier gives up (EAGAIN) when a signal waits for its thread, and profilers send one every few milliseconds.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = ErrnoOf(bpf_object__load(object.object()));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return Errno(info.Env(), error);
}

// (object) → its BTF, with the places of variables filled in | -errno
Napi::Value ObjectBtf(const Napi::CallbackInfo& info) {
  const btf* types = bpf_object__btf(Unwrap<ObjectHandle>(info, 0).object());
  uint32_t size = 0;
  const void* bytes = types == nullptr ? nullptr : btf__raw_data(types, &size);
  if (bytes == nullptr) return Errno(info.Env(), ENOENT);
  return Napi::Buffer<uint8_t>::Copy(info.Env(), static_cast<const uint8_t*>(bytes), size);
}

// (object, map) → handle | -errno. The handle has its own descriptor and outlives the object.
Napi::Value ObjectMap(const Napi::CallbackInfo& info) {
  int fd = bpf_map__fd(MapArgument(info));
  if (fd < 0) return Errno(info.Env(), fd);
  return WrapMap(info.Env(), fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

Napi::Value ObjectProgram(const Napi::CallbackInfo& info) {
  int fd = bpf_program__fd(ProgramArgument(info));
  if (fd < 0) return Errno(info.Env(), fd);
  return WrapProgram(info.Env(), fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

}  // namespace

bpf_program* ProgramArgument(const Napi::CallbackInfo& info) {
  ObjectHandle& object = Unwrap<ObjectHandle>(info, 0);
  std::string name = StringArgument(info, 1);
  bpf_program* program = bpf_object__find_program_by_name(object.object(), name.c_str());
  if (program == nullptr) ThrowArgument(info.Env(), 1, "the name of a program of this object");
  return program;
}

void ExportObject(Napi::Env env, Napi::Object exports) {
  Export<OpenObject>(env, exports, "openObject");
  Export<ObjectMaps>(env, exports, "objectMaps");
  Export<ObjectPrograms>(env, exports, "objectPrograms");
  Export<ObjectMapMaxEntries>(env, exports, "objectMapMaxEntries");
  Export<ObjectMapSetMaxEntries>(env, exports, "objectMapSetMaxEntries");
  Export<ObjectMapPinPath>(env, exports, "objectMapPinPath");
  Export<ObjectMapSetPinPath>(env, exports, "objectMapSetPinPath");
  Export<ObjectMapReuse>(env, exports, "objectMapReuse");
  Export<ObjectMapSetInner>(env, exports, "objectMapSetInner");
  Export<ObjectMapSetAutocreate>(env, exports, "objectMapSetAutocreate");
  Export<ObjectMapInitialValue>(env, exports, "objectMapInitialValue");
  Export<ObjectMapSetInitialValue>(env, exports, "objectMapSetInitialValue");
  Export<ObjectProgramAutoload>(env, exports, "objectProgramAutoload");
  Export<ObjectProgramSetAutoload>(env, exports, "objectProgramSetAutoload");
  Export<LoadObject>(env, exports, "loadObject");
  Export<ObjectBtf>(env, exports, "objectBtf");
  Export<ObjectMap>(env, exports, "objectMap");
  Export<ObjectProgram>(env, exports, "objectProgram");
}

}  // namespace bpfts
