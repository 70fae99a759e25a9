// SPDX-License-Identifier: Apache-2.0
#include "arguments.h"

#include <cmath>

namespace netfilter {

void ThrowCode(Napi::Env env, const char* code, const std::string& message) {
  Napi::TypeError error = Napi::TypeError::New(env, message);
  error.Set("code", code);
  throw error;
}

void ThrowArgument(Napi::Env env, size_t index, const std::string& expected) {
  ThrowCode(env, "ERR_NETFILTER_ARGUMENT", "argument " + std::to_string(index) + " must be " + expected);
}

uint32_t Uint32Argument(const Napi::CallbackInfo& info, size_t index, uint32_t most) {
  Napi::Value value = info[index];
  double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= most) || std::floor(number) != number) {
    ThrowArgument(info.Env(), index, "an integer from 0 to " + std::to_string(most));
  }
  return static_cast<uint32_t>(number);
}

bool BooleanArgument(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsBoolean()) ThrowArgument(info.Env(), index, "a boolean");
  return info[index].As<Napi::Boolean>().Value();
}

Bytes BytesOf(const Napi::CallbackInfo& info, size_t index, Napi::Value value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    ThrowArgument(info.Env(), index, "a Uint8Array");
  }
  Napi::Uint8Array array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

Words WordsArgument(const Napi::CallbackInfo& info, size_t index, size_t minimum) {
  Napi::Value value = info[index];
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
    ThrowArgument(info.Env(), index, "a Uint32Array");
  }
  Napi::Uint32Array array = value.As<Napi::Uint32Array>();
  if (array.ElementLength() < minimum) {
    ThrowArgument(info.Env(), index, "a Uint32Array of at least " + std::to_string(minimum) + " words");
  }
  return {array.Data(), array.ElementLength()};
}

Napi::Array ArrayArgument(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsArray()) ThrowArgument(info.Env(), index, "an array");
  return info[index].As<Napi::Array>();
}

Napi::Function FunctionArgument(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsFunction()) ThrowArgument(info.Env(), index, "a function");
  return info[index].As<Napi::Function>();
}

}  // namespace netfilter
