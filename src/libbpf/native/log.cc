// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include <cstdarg>
#include <cstdio>
#include <mutex>

#include <bpf/libbpf.h>

namespace bpfts {

namespace {

// libbpf asks the kernel for at most this much of a verifier log.
constexpr size_t kMaxLog = 16 << 20;

thread_local std::string recorded;
thread_local bool recording = false;

int Record(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (!recording || level == LIBBPF_DEBUG || recorded.size() >= kMaxLog) return 0;
  va_list again;
  va_copy(again, arguments);
  int size = vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (size <= 0) return 0;
  size_t before = recorded.size();
  recorded.resize(before + size + 1);
  vsnprintf(&recorded[before], size + 1, format, arguments);
  recorded.resize(before + size);
  return size;
}

}  // namespace

void InstallLog() {
  static std::once_flag once;
  std::call_once(once, [] { libbpf_set_print(Record); });
}

LogScope::LogScope() {
  recorded.clear();
  recording = true;
}

LogScope::~LogScope() { recording = false; }

void AppendLog(const std::string& text) { recorded += text; }

Napi::Value TakeLog(const Napi::CallbackInfo& info) {
  Napi::Value text = Napi::String::New(info.Env(), recorded);
  recorded.clear();
  recorded.shrink_to_fit();
  return text;
}

}  // namespace bpfts
