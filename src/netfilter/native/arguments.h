// SPDX-License-Identifier: Apache-2.0
//
// Arguments are checked here, before anything reaches the kernel: the right type, in range, long enough.
#pragma once

#include <cstdint>
#include <string>

#include <napi.h>

namespace netfilter {

struct Bytes {
  uint8_t* data;
  size_t size;
};

struct Words {
  uint32_t* data;
  size_t count;
};

[[noreturn]] void ThrowCode(Napi::Env env, const char* code, const std::string& message);
[[noreturn]] void ThrowArgument(Napi::Env env, size_t index, const std::string& expected);

uint32_t Uint32Argument(const Napi::CallbackInfo& info, size_t index, uint32_t most = UINT32_MAX);
bool BooleanArgument(const Napi::CallbackInfo& info, size_t index);
// The bytes of a Uint8Array; valid until JavaScript runs again.
Bytes BytesOf(const Napi::CallbackInfo& info, size_t index, Napi::Value value);
// A Uint32Array of at least `minimum` words; valid until JavaScript runs again.
Words WordsArgument(const Napi::CallbackInfo& info, size_t index, size_t minimum);
Napi::Array ArrayArgument(const Napi::CallbackInfo& info, size_t index);
Napi::Function FunctionArgument(const Napi::CallbackInfo& info, size_t index);

// What functions return for a failure: a negative errno.
inline Napi::Value Errno(Napi::Env env, int error) { return Napi::Number::New(env, error > 0 ? -error : error); }

}  // namespace netfilter
