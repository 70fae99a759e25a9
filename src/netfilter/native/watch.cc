// SPDX-License-Identifier: Apache-2.0
//
// Tells JavaScript that a queue's socket became readable, from the environment's own event loop. The watcher must be
// closed by libuv before its memory goes: on close(), on collection and at the environment's end alike.
#include <cerrno>

#include <uv.h>

#include "arguments.h"
#include "queue.h"

namespace netfilter {

struct Watcher {
  uv_poll_t poll;
  napi_env env;
  napi_ref callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
  bool closing;
  QueueHandle* owner;
};

namespace {

void OnReadable(uv_poll_t* poll, int status, int);

void OnClosed(uv_handle_t* handle) {
  Watcher* watcher = static_cast<Watcher*>(handle->data);
  napi_handle_scope scope;
  if (napi_open_handle_scope(watcher->env, &scope) == napi_ok) {
    napi_delete_reference(watcher->env, watcher->callback);
    napi_async_destroy(watcher->env, watcher->context);
    napi_close_handle_scope(watcher->env, scope);
  }
  napi_remove_async_cleanup_hook(watcher->hook);
  delete watcher;
}

void OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* data) { CloseWatcher(static_cast<Watcher*>(data)); }

void OnReadable(uv_poll_t* poll, int status, int) {
  Watcher* watcher = static_cast<Watcher*>(poll->data);
  napi_env env = watcher->env;
  // libuv stops watching a socket with a pending error, which for us is an overrun: reading tells whether it is worse.
  if (status < 0) uv_poll_start(poll, UV_READABLE, OnReadable);
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value callback, receiver;
  if (napi_get_reference_value(env, watcher->callback, &callback) == napi_ok && napi_get_global(env, &receiver) == napi_ok) {
    // The callback may close the watcher; nothing of it is touched afterwards.
    if (napi_make_callback(env, watcher->context, receiver, callback, 0, nullptr, nullptr) == napi_pending_exception) {
      napi_value exception;
      if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) napi_fatal_exception(env, exception);
    }
  }
  napi_close_handle_scope(env, scope);
}

// (queue, callback, whether it keeps the process alive) → 0 | -errno. Once for a queue.
Napi::Value WatchQueue(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  QueueHandle& queue = Unwrap<QueueHandle>(info, 0);
  Napi::Function callback = FunctionArgument(info, 1);
  bool keep_alive = BooleanArgument(info, 2);
  if (queue.watcher != nullptr) return Errno(env, EBUSY);
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return Errno(env, ENOSYS);
  auto watcher = std::make_unique<Watcher>();
  watcher->env = env;
  watcher->owner = &queue;
  watcher->poll.data = watcher.get();
  int error = uv_poll_init(loop, &watcher->poll, queue.fd);
  if (error < 0) return Errno(env, error);
  Napi::Value name = Napi::String::New(env, "netfilter queue");
  if (napi_create_reference(env, callback, 1, &watcher->callback) != napi_ok ||
      napi_async_init(env, nullptr, name, &watcher->context) != napi_ok ||
      napi_add_async_cleanup_hook(env, OnEnvironmentEnd, watcher.get(), &watcher->hook) != napi_ok) {
    // Only when the environment is ending: libuv still owns the memory.
    uv_close(reinterpret_cast<uv_handle_t*>(&watcher.release()->poll), nullptr);
    throw Napi::Error::New(env, "the environment is ending");
  }
  queue.watcher = watcher.release();
  if (!keep_alive) uv_unref(reinterpret_cast<uv_handle_t*>(&queue.watcher->poll));
  return Errno(env, uv_poll_start(&queue.watcher->poll, UV_READABLE, OnReadable));
}

}  // namespace

void CloseWatcher(Watcher* watcher) {
  if (watcher->owner != nullptr) watcher->owner->watcher = nullptr;
  watcher->owner = nullptr;
  if (watcher->closing) return;
  watcher->closing = true;
  uv_poll_stop(&watcher->poll);
  uv_close(reinterpret_cast<uv_handle_t*>(&watcher->poll), OnClosed);
}

void ExportWatch(Napi::Env env, Napi::Object exports) { exports.Set("watchQueue", Napi::Function::New<WatchQueue>(env)); }

}  // namespace netfilter
