// SPDX-License-Identifier: Apache-2.0
//
// Tells JavaScript that a handle's descriptor became readable, from the environment's own event loop. The watcher
// must be closed by libuv before its memory goes: on close(), on collection and at the environment's end alike.
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>
#include <uv.h>

#include "arguments.h"
#include "exports.h"
#include "log.h"

namespace bpfts {

namespace {

class PollHandle;

// Lives until libuv's close callback, which may be after the handle.
struct Watcher {
  uv_poll_t poll;
  napi_env env;
  napi_ref callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
  int fd;
  bool closing;
  PollHandle* owner;
};

class PollHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kPoll;
  explicit PollHandle(Watcher* watcher) : Handle(kKind), watcher_(watcher) { watcher->owner = this; }
  ~PollHandle() override { Close(); }
  // NULL once the environment has begun to end.
  Watcher* watcher() const { return watcher_; }
  void Forget() { watcher_ = nullptr; }

 protected:
  void Release() override;

 private:
  Watcher* watcher_;
};

void OnClosed(uv_handle_t* handle) {
  Watcher* watcher = static_cast<Watcher*>(handle->data);
  close(watcher->fd);
  napi_handle_scope scope;
  if (napi_open_handle_scope(watcher->env, &scope) == napi_ok) {
    napi_delete_reference(watcher->env, watcher->callback);
    napi_async_destroy(watcher->env, watcher->context);
    napi_close_handle_scope(watcher->env, scope);
  }
  napi_remove_async_cleanup_hook(watcher->hook);
  delete watcher;
}

void CloseWatcher(Watcher* watcher) {
  if (watcher->owner != nullptr) watcher->owner->Forget();
  watcher->owner = nullptr;
  if (watcher->closing) return;
  watcher->closing = true;
  uv_poll_stop(&watcher->poll);
  uv_close(reinterpret_cast<uv_handle_t*>(&watcher->poll), OnClosed);
}

void OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* data) { CloseWatcher(static_cast<Watcher*>(data)); }

void OnReadable(uv_poll_t* poll, int status, int) {
  Watcher* watcher = static_cast<Watcher*>(poll->data);
  napi_env env = watcher->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value callback, receiver, argument;
  if (napi_get_reference_value(env, watcher->callback, &callback) == napi_ok &&
      napi_get_global(env, &receiver) == napi_ok && napi_create_int32(env, status, &argument) == napi_ok) {
    // The callback may close the watcher; nothing of it is touched afterwards.
    if (napi_make_callback(env, watcher->context, receiver, callback, 1, &argument, nullptr) == napi_pending_exception) {
      napi_value exception;
      if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) napi_fatal_exception(env, exception);
    }
  }
  napi_close_handle_scope(env, scope);
}

void PollHandle::Release() {
  if (watcher_ != nullptr) CloseWatcher(watcher_);
}

// (ring or netlink handle, callback(status)) → handle | -errno. Does not watch before resumePoll.
Napi::Value CreatePoll(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Handle& source = AnyHandle(info, 0);
  if (source.kind() != Kind::kRing && source.kind() != Kind::kNetlink) ThrowArgument(env, 0, "a ring or netlink socket");
  Napi::Function callback = FunctionArgument(info, 1);
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return Errno(env, ENOSYS);
  // Its own descriptor, so that the source may be closed first.
  int fd = fcntl(source.fd(), F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return Errno(env, errno);
  auto watcher = std::make_unique<Watcher>();
  watcher->env = env;
  watcher->fd = fd;
  watcher->poll.data = watcher.get();
  int error = uv_poll_init(loop, &watcher->poll, fd);
  if (error < 0) {
    close(fd);
    return Errno(env, error);
  }
  Napi::Value name = Napi::String::New(env, "libbpf-ts poll");
  if (napi_create_reference(env, callback, 1, &watcher->callback) != napi_ok ||
      napi_async_init(env, nullptr, name, &watcher->context) != napi_ok ||
      napi_add_async_cleanup_hook(env, OnEnvironmentEnd, watcher.get(), &watcher->hook) != napi_ok) {
    // Only when the environment is ending: libuv still owns the memory.
    uv_close(reinterpret_cast<uv_handle_t*>(&watcher.release()->poll), nullptr);
    throw Napi::Error::New(env, "the environment is ending");
  }
  return Wrap(env, std::make_unique<PollHandle>(watcher.release()));
}

Napi::Value ResumePoll(const Napi::CallbackInfo& info) {
  Watcher* watcher = Unwrap<PollHandle>(info, 0).watcher();
  if (watcher == nullptr) return Errno(info.Env(), ESHUTDOWN);
  return Errno(info.Env(), uv_poll_start(&watcher->poll, UV_READABLE, OnReadable));
}

Napi::Value PausePoll(const Napi::CallbackInfo& info) {
  Watcher* watcher = Unwrap<PollHandle>(info, 0).watcher();
  if (watcher == nullptr) return Errno(info.Env(), ESHUTDOWN);
  return Errno(info.Env(), uv_poll_stop(&watcher->poll));
}

// (poll, whether it keeps the process alive)
Napi::Value RefPoll(const Napi::CallbackInfo& info) {
  Watcher* watcher = Unwrap<PollHandle>(info, 0).watcher();
  if (watcher == nullptr) return Errno(info.Env(), ESHUTDOWN);
  uv_handle_t* handle = reinterpret_cast<uv_handle_t*>(&watcher->poll);
  if (BooleanArgument(info, 1)) uv_ref(handle);
  else uv_unref(handle);
  return Errno(info.Env(), 0);
}

}  // namespace

void ExportPoll(Napi::Env env, Napi::Object exports) {
  Export<CreatePoll>(env, exports, "createPoll");
  Export<ResumePoll>(env, exports, "resumePoll");
  Export<PausePoll>(env, exports, "pausePoll");
  Export<RefPoll>(env, exports, "refPoll");
}

}  // namespace bpfts
