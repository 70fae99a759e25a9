// SPDX-License-Identifier: Apache-2.0
#include "arguments.h"

#include <cerrno>
#include <cmath>
#include <limits>

namespace bpfts {

namespace {

constexpr size_t kMaxString = 4095;

double IntegerArgument(const Napi::CallbackInfo& info, size_t index, double low, double high, const char* expected) {
  Napi::Value value = info[index];
  if (!value.IsNumber()) ThrowArgument(info.Env(), index, expected);
  double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= low && number <= high) || std::floor(number) != number) ThrowArgument(info.Env(), index, expected);
  return number;
}

}  // namespace

void ThrowCode(Napi::Env env, const char* code, const std::string& message) {
  Napi::TypeError error = Napi::TypeError::New(env, message);
  error.Set("code", code);
  throw error;
}

void ThrowArgument(Napi::Env env, size_t index, const std::string& expected) {
  ThrowCode(env, "ERR_BPF_ARGUMENT", "argument " + std::to_string(index) + " must be " + expected);
}

uint32_t Uint32Argument(const Napi::CallbackInfo& info, size_t index) {
  return static_cast<uint32_t>(IntegerArgument(info, index, 0, std::numeric_limits<uint32_t>::max(), "an unsigned 32-bit integer"));
}

int32_t Int32Argument(const Napi::CallbackInfo& info, size_t index) {
  return static_cast<int32_t>(IntegerArgument(info, index, std::numeric_limits<int32_t>::min(),
                                              std::numeric_limits<int32_t>::max(), "a 32-bit integer"));
}

uint64_t Uint64Argument(const Napi::CallbackInfo& info, size_t index) {
  Napi::Value value = info[index];
  if (!value.IsBigInt()) ThrowArgument(info.Env(), index, "a bigint");
  bool lossless = false;
  uint64_t number = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) ThrowArgument(info.Env(), index, "an unsigned 64-bit bigint");
  return number;
}

bool BooleanArgument(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsBoolean()) ThrowArgument(info.Env(), index, "a boolean");
  return info[index].As<Napi::Boolean>().Value();
}

std::string StringArgument(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsString()) ThrowArgument(info.Env(), index, "a string");
  std::string text = info[index].As<Napi::String>().Utf8Value();
  if (text.empty() || text.size() > kMaxString || text.find('\0') != std::string::npos) {
    ThrowArgument(info.Env(), index, "a string of 1 to 4095 bytes without NUL");
  }
  return text;
}

bool IsNullish(const Napi::CallbackInfo& info, size_t index) {
  return info[index].IsUndefined() || info[index].IsNull();
}

Bytes BytesArgument(const Napi::CallbackInfo& info, size_t index, size_t minimum) {
  Napi::Value value = info[index];
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    ThrowArgument(info.Env(), index, "a Uint8Array");
  }
  Napi::Uint8Array array = value.As<Napi::Uint8Array>();
  size_t size = array.ByteLength();
  if (size < minimum) {
    ThrowArgument(info.Env(), index, "a Uint8Array of " + std::to_string(minimum) + " bytes, not " + std::to_string(size));
  }
  return {array.Data(), size};
}

Napi::Function FunctionArgument(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsFunction()) ThrowArgument(info.Env(), index, "a function");
  return info[index].As<Napi::Function>();
}

int ErrnoOf(int result) {
  if (result >= 0) return result;
  return errno > 0 ? -errno : result;
}

}  // namespace bpfts
