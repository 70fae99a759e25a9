// SPDX-License-Identifier: Apache-2.0
//
// What libbpf prints is kept per thread for the operation that caused it, and never reaches stderr.
#pragma once

#include <string>

#include <napi.h>

namespace bpfts {

void InstallLog();

// Starts an operation: forgets the last one's log and records until the end of the scope.
class LogScope {
 public:
  LogScope();
  ~LogScope();
  void Append(const std::string& text);
};

// The last operation's log, once.
Napi::Value TakeLog(const Napi::CallbackInfo& info);

}  // namespace bpfts
