// SPDX-License-Identifier: Apache-2.0
//
// NFQUEUE, raw sockets and conntrack for Node.js: plain functions over tagged handles. They return a value, or a negative errno; a
// wrong argument is an exception. Names, messages and types live in TypeScript.
#include <napi.h>

#include "handle.h"

namespace {

Napi::Value Close(const Napi::CallbackInfo& info) {
  netfilter::AnyHandle(info, 0, true).Close();
  return info.Env().Undefined();
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  netfilter::ExportQueue(env, exports);
  netfilter::ExportVerdicts(env, exports);
  netfilter::ExportWatch(env, exports);
  netfilter::ExportSender(env, exports);
  netfilter::ExportTable(env, exports);
  netfilter::ExportConntrack(env, exports);
  exports.Set("close", Napi::Function::New<Close>(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(netfilter, Init)
