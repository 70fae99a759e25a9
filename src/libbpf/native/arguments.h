// SPDX-License-Identifier: Apache-2.0
//
// Arguments are checked here, before anything reaches libbpf: the right type, in range, long enough.
#pragma once

#include <cstdint>
#include <string>

#include <napi.h>

namespace bpfts {

struct Bytes {
  uint8_t* data;
  size_t size;
};

[[noreturn]] void ThrowCode(Napi::Env env, const char* code, const std::string& message);
[[noreturn]] void ThrowArgument(Napi::Env env, size_t index, const std::string& expected);

uint32_t Uint32Argument(const Napi::CallbackInfo& info, size_t index);
int32_t Int32Argument(const Napi::CallbackInfo& info, size_t index);
uint64_t Uint64Argument(const Napi::CallbackInfo& info, size_t index);
bool BooleanArgument(const Napi::CallbackInfo& info, size_t index);
// Not empty, without NUL, at most 4095 bytes.
std::string StringArgument(const Napi::CallbackInfo& info, size_t index);
bool IsNullish(const Napi::CallbackInfo& info, size_t index);
// A Uint8Array of at least `minimum` bytes.
Bytes BytesArgument(const Napi::CallbackInfo& info, size_t index, size_t minimum = 0);
Napi::Function FunctionArgument(const Napi::CallbackInfo& info, size_t index);

// What functions return for a failure: a negative errno.
inline Napi::Value Errno(Napi::Env env, int error) { return Napi::Number::New(env, error > 0 ? -error : error); }

// libbpf 1.x: 0 or more for success, else -1 or -errno with errno set.
int ErrnoOf(int result);

}  // namespace bpfts
