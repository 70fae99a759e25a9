// SPDX-License-Identifier: Apache-2.0
//
// The consumer's side of a BPF ring buffer, read from its mapped pages (layout: kernel/bpf/ringbuf.c). libbpf's own
// consumer calls back per record and cannot stop before one that does not fit; here records are copied until the
// caller's buffer is full, and what is left stays in the ring.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arguments.h"
#include "exports.h"
#include "log.h"
#include "map.h"

namespace bpfts {

namespace {

class RingHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kRing;
  RingHandle(int fd, uint8_t* consumer, uint8_t* producer, size_t page, size_t capacity)
      : Handle(kKind), capacity(capacity), fd_(fd), page_(page), consumer_(consumer), producer_(producer) {}
  ~RingHandle() override { Close(); }
  int fd() const override { return fd_; }

  uint64_t Produced() const { return __atomic_load_n(reinterpret_cast<uint64_t*>(producer_), __ATOMIC_ACQUIRE); }
  uint64_t Consumed() const { return __atomic_load_n(reinterpret_cast<uint64_t*>(consumer_), __ATOMIC_ACQUIRE); }
  void Consume(uint64_t position) { __atomic_store_n(reinterpret_cast<uint64_t*>(consumer_), position, __ATOMIC_RELEASE); }
  // The data is mapped twice in a row, so that a record which wraps is contiguous.
  uint8_t* At(uint64_t position) const { return producer_ + page_ + (position & (capacity - 1)); }

  const size_t capacity;
  double oversized = 0;

 protected:
  void Release() override {
    munmap(consumer_, page_);
    munmap(producer_, page_ + 2 * capacity);
    close(fd_);
  }

 private:
  const int fd_;
  const size_t page_;
  uint8_t* const consumer_;
  uint8_t* const producer_;
};

// (map) → handle | -errno
Napi::Value OpenRing(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  MapHandle& map = Unwrap<MapHandle>(info, 0);
  if (map.type != BPF_MAP_TYPE_RINGBUF) return Errno(env, EINVAL);
  bpf_map_info details = {};
  uint32_t size = sizeof(details);
  int error = ErrnoOf(bpf_obj_get_info_by_fd(map.fd(), &details, &size));
  if (error < 0) return Errno(env, error);
  size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  size_t capacity = details.max_entries;
  int fd = fcntl(map.fd(), F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return Errno(env, errno);
  void* consumer = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (consumer == MAP_FAILED) {
    int failed = errno;
    close(fd);
    return Errno(env, failed);
  }
  void* producer = mmap(nullptr, page + 2 * capacity, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(page));
  if (producer == MAP_FAILED) {
    int failed = errno;
    munmap(consumer, page);
    close(fd);
    return Errno(env, failed);
  }
  return Wrap(env, std::make_unique<RingHandle>(fd, static_cast<uint8_t*>(consumer), static_cast<uint8_t*>(producer), page, capacity));
}

// (ring, buffer out, places out: pairs of offset and length) → records copied
Napi::Value ConsumeRing(const Napi::CallbackInfo& info) {
  RingHandle& ring = Unwrap<RingHandle>(info, 0);
  Bytes buffer = BytesArgument(info, 1, 8);
  Napi::Value value = info[2];
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
    ThrowArgument(info.Env(), 2, "a Uint32Array");
  }
  Napi::Uint32Array places = value.As<Napi::Uint32Array>();
  size_t limit = places.ElementLength() / 2;
  uint32_t* place = places.Data();

  uint64_t position = ring.Consumed();
  const uint64_t end = ring.Produced();
  size_t used = 0;
  size_t count = 0;
  while (position < end && count < limit) {
    uint32_t header = __atomic_load_n(reinterpret_cast<uint32_t*>(ring.At(position)), __ATOMIC_ACQUIRE);
    if ((header & BPF_RINGBUF_BUSY_BIT) != 0) break;
    size_t length = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
    if (length > ring.capacity) break;
    if ((header & BPF_RINGBUF_DISCARD_BIT) == 0) {
      if (length > buffer.size) {
        ring.oversized++;
      } else {
        if (length > buffer.size - used) break;
        memcpy(buffer.data + used, ring.At(position) + BPF_RINGBUF_HDR_SZ, length);
        place[2 * count] = static_cast<uint32_t>(used);
        place[2 * count + 1] = static_cast<uint32_t>(length);
        count++;
        // Records stay 8-byte aligned, as they are in the ring.
        used = std::min(buffer.size, (used + length + 7) & ~static_cast<size_t>(7));
      }
    }
    position += (length + BPF_RINGBUF_HDR_SZ + 7) & ~static_cast<uint64_t>(7);
    ring.Consume(position);
  }
  return Napi::Number::New(info.Env(), static_cast<double>(count));
}

// (ring) → {available, capacity, oversized}
Napi::Value RingStatus(const Napi::CallbackInfo& info) {
  RingHandle& ring = Unwrap<RingHandle>(info, 0);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("available", static_cast<double>(ring.Produced() - ring.Consumed()));
  result.Set("capacity", static_cast<double>(ring.capacity));
  result.Set("oversized", ring.oversized);
  return result;
}

}  // namespace

void ExportRing(Napi::Env env, Napi::Object exports) {
  Export<OpenRing>(env, exports, "openRing");
  Export<ConsumeRing>(env, exports, "consumeRing");
  Export<RingStatus>(env, exports, "ringStatus");
}

}  // namespace bpfts
