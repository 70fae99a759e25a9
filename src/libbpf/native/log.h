// SPDX-License-Identifier: Apache-2.0
//
// What libbpf prints is kept per thread for the call that caused it, and never reaches stderr.
#pragma once

#include <string>

#include <napi.h>

namespace bpfts {

void InstallLog();

// Records from its making to its end; what was recorded before is forgotten.
class LogScope {
 public:
  LogScope();
  ~LogScope();
};

void AppendLog(const std::string& text);

// The last call's log, once.
Napi::Value TakeLog(const Napi::CallbackInfo& info);

template <Napi::Value (*Call)(const Napi::CallbackInfo&)>
Napi::Value Logged(const Napi::CallbackInfo& info) {
  LogScope log;
  return Call(info);
}

template <Napi::Value (*Call)(const Napi::CallbackInfo&)>
void Export(Napi::Env env, Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<Logged<Call>>(env));
}

}  // namespace bpfts
