// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "handle.h"

namespace bpfts {
void ExportRing(Napi::Env env, Napi::Object exports);
void ExportPoll(Napi::Env env, Napi::Object exports);
void ExportIterator(Napi::Env env, Napi::Object exports);
void ExportNetlink(Napi::Env env, Napi::Object exports);
void ExportSystem(Napi::Env env, Napi::Object exports);
}  // namespace bpfts
