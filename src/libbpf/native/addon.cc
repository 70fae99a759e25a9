// SPDX-License-Identifier: Apache-2.0
//
// libbpf for Node.js: plain functions over tagged handles. They return a value, or a negative errno; a wrong argument
// is an exception. Names, messages and types live in TypeScript.
#include <napi.h>

#include "exports.h"
#include "link.h"
#include "log.h"
#include "map.h"
#include "object.h"
#include "program.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  bpfts::InstallLog();
  bpfts::ExportObject(env, exports);
  bpfts::ExportMap(env, exports);
  bpfts::ExportMapBatch(env, exports);
  bpfts::ExportProgram(env, exports);
  bpfts::ExportLink(env, exports);
  bpfts::ExportIterator(env, exports);
  bpfts::ExportClsact(env, exports);
  bpfts::ExportRing(env, exports);
  bpfts::ExportPoll(env, exports);
  bpfts::ExportNetlink(env, exports);
  bpfts::ExportSystem(env, exports);
  exports.Set("takeLog", Napi::Function::New<bpfts::TakeLog>(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(libbpf, Init)
