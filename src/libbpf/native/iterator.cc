// SPDX-License-Identifier: Apache-2.0
//
// Iterators: a program is run over everything of a kind, and what it prints is read. Which network namespace it goes
// over is decided by who opens it, so a thread of its own enters the namespace, opens, reads and ends. The caller's
// threads never move, and are not kept waiting: a table of the kernel may be long.
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include <bpf/bpf.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "arguments.h"
#include "exports.h"
#include "link.h"
#include "log.h"

namespace bpfts {

namespace {

// The kernel prints into a buffer of eight pages.
constexpr size_t kChunk = 32 << 10;
constexpr auto kLongest = std::chrono::seconds(10);

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

// 0 or -errno; -EOVERFLOW when it prints more than `most` bytes, -ETIMEDOUT when it does not come to an end.
int ReadAll(int link, size_t most, std::string& text) {
  Descriptor iterator(ErrnoOf(bpf_iter_create(link)));
  if (iterator.fd() < 0) return iterator.fd();
  auto deadline = std::chrono::steady_clock::now() + kLongest;
  std::string chunk(kChunk, '\0');
  for (;;) {
    ssize_t size = read(iterator.fd(), chunk.data(), chunk.size());
    if (size == 0) return 0;
    // EAGAIN: a program that asks for an object again, or a long stretch without a word.
    if (size < 0 && errno != EINTR && errno != EAGAIN) return -errno;
    if (size > 0) text.append(chunk, 0, static_cast<size_t>(size));
    if (text.size() > most) return -EOVERFLOW;
    if (std::chrono::steady_clock::now() > deadline) return -ETIMEDOUT;
  }
}

class Reading : public Napi::AsyncWorker {
 public:
  // Takes the descriptors; a negative one of the namespace stands for our own.
  Reading(Napi::Env env, int link, int netns, size_t most)
      : Napi::AsyncWorker(env), done_(Napi::Promise::Deferred::New(env)), link_(link), netns_(netns), most_(most) {}

  Napi::Promise promise() const { return done_.Promise(); }

 protected:
  void Execute() override {
    if (netns_.fd() < 0) {
      result_ = ReadAll(link_.fd(), most_, text_);
      return;
    }
    try {
      std::thread thread([this] {
        result_ = setns(netns_.fd(), CLONE_NEWNET) < 0 ? -errno : ReadAll(link_.fd(), most_, text_);
      });
      thread.join();
    } catch (const std::system_error& error) {
      result_ = -error.code().value();
    }
  }

  void OnOK() override {
    if (result_ < 0) done_.Resolve(Errno(Env(), result_));
    else done_.Resolve(Napi::Buffer<char>::Copy(Env(), text_.data(), text_.size()));
  }

  void OnError(const Napi::Error& error) override { done_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred done_;
  Descriptor link_;
  Descriptor netns_;
  const size_t most_;
  int result_ = -EIO;
  std::string text_;
};

// (link, path of a network namespace | undefined for our own, most bytes) → promise of what it prints | -errno
Napi::Value ReadIterator(const Napi::CallbackInfo& info) {
  LinkHandle& link = Unwrap<LinkHandle>(info, 0);
  std::string path = IsNullish(info, 1) ? "" : StringArgument(info, 1);
  uint32_t most = Uint32Argument(info, 2);
  auto done = [&](int error) {
    auto deferred = Napi::Promise::Deferred::New(info.Env());
    deferred.Resolve(Errno(info.Env(), error));
    return deferred.Promise();
  };
  // O_NONBLOCK: the path may turn out to be a FIFO.
  int netns = path.empty() ? -1 : open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (!path.empty() && netns < 0) return done(errno);
  // The caller may close the link, or the namespace go, before the reading is done.
  int copy = fcntl(link.fd(), F_DUPFD_CLOEXEC, 0);
  if (copy < 0) {
    int error = errno;
    if (netns >= 0) close(netns);
    return done(error);
  }
  auto* reading = new Reading(info.Env(), copy, netns, most);  // deletes itself when it is done
  reading->Queue();
  return reading->promise();
}

}  // namespace

void ExportIterator(Napi::Env env, Napi::Object exports) { Export<ReadIterator>(env, exports, "readIterator"); }

}  // namespace bpfts
