// SPDX-License-Identifier: Apache-2.0
//
// Binds to one NFQUEUE and reads what waits there: many datagrams in one system call, their packets copied into one
// buffer that is JavaScript's from then on.
#include "queue.h"

#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "conntrack.h"

namespace netfilter {

namespace {

// What the kernel puts beside a packet: header, addresses, conntrack, security context.
constexpr size_t kAttributesRoom = 8192;
constexpr uint32_t kBindSequence = 1;
// A packet above this gets a buffer of its own, so that keeping a small one keeps at most kBatch times this.
constexpr size_t kShared = 2048;
// What is told of each packet, in this order: id, mark, hook, input, output, offset in the buffer, bytes there, bytes it
// has, offset of the original addresses or kNone, index of its own buffer or kNone.
constexpr size_t kWordsPerPacket = 10;
constexpr uint32_t kNone = UINT32_MAX;

int SetBuffer(int fd, int forced, int plain, int bytes) {
  if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof(bytes)) == 0) return 0;
  return setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof(bytes)) == 0 ? 0 : -errno;
}

struct Settings {
  uint16_t number;
  uint32_t most;
  uint32_t copy;
  uint32_t flags;
  int receive_buffer;
};

// Everything in one message, so that no packet finds a queue that is bound and does not copy yet.
int SendBinding(int fd, const Settings& settings) {
  alignas(nlmsghdr) char buffer[512];
  nlmsghdr* message = nfq_nlmsg_put(buffer, NFQNL_MSG_CONFIG, settings.number);
  message->nlmsg_flags |= NLM_F_ACK;
  message->nlmsg_seq = kBindSequence;
  nfq_nlmsg_cfg_put_cmd(message, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
  nfq_nlmsg_cfg_put_params(message, NFQNL_COPY_PACKET, static_cast<int>(settings.copy));
  nfq_nlmsg_cfg_put_qmaxlen(message, settings.most);
  mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(settings.flags));
  mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_CONNTRACK | NFQA_CFG_F_GSO));
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent = sendto(fd, message, message->nlmsg_len, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof(kernel));
  return sent < 0 ? -errno : 0;
}

// The kernel has answered before sendto(2) returned; only packets may stand before the answer.
int AwaitBinding(QueueHandle& queue) {
  for (;;) {
    ssize_t size = recv(queue.fd, queue.slots, queue.slot_bytes, MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return errno == EAGAIN ? -ETIMEDOUT : -errno;
    auto* message = reinterpret_cast<nlmsghdr*>(queue.slots);
    if (!mnl_nlmsg_ok(message, static_cast<int>(size))) return -EBADMSG;
    if (message->nlmsg_type == NLMSG_ERROR && message->nlmsg_seq == kBindSequence) {
      if (mnl_nlmsg_get_payload_len(message) < sizeof(nlmsgerr)) return -EBADMSG;
      return static_cast<nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
    }
    queue.early.emplace_back(queue.slots, queue.slots + size);
  }
}

std::unique_ptr<QueueHandle> Bind(const Settings& settings, int* error) {
  size_t slot = (settings.copy + kAttributesRoom + 4095) & ~static_cast<size_t>(4095);
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
  if (fd < 0) {
    *error = -errno;
    return nullptr;
  }
  void* slots = mmap(nullptr, slot * QueueHandle::kBatch, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (slots == MAP_FAILED) {
    *error = -errno;
    close(fd);
    return nullptr;
  }
  auto queue = std::make_unique<QueueHandle>(fd, settings.number, static_cast<uint8_t*>(slots), slot);
  sockaddr_nl local = {};
  local.nl_family = AF_NETLINK;
  int on = 1;
  // A refused verdict is answered without its packet. NETLINK_NO_ENOBUFS stays off: what is lost must be told.
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
  *error = bind(fd, reinterpret_cast<sockaddr*>(&local), sizeof(local)) < 0 ? -errno : 0;
  if (*error == 0) *error = SetBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, settings.receive_buffer);
  if (*error == 0) *error = SetBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, 1 << 20);
  if (*error == 0) *error = SendBinding(fd, settings);
  if (*error == 0) *error = AwaitBinding(*queue);
  return *error == 0 ? std::move(queue) : nullptr;
}

// (number, packets at most, bytes copied of each, fail open, with conntrack, bytes of the socket's buffer)
// → {handle, conntrack: whether the kernel tells original addresses} | -errno
Napi::Value OpenQueue(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Settings settings = {};
  settings.number = static_cast<uint16_t>(Uint32Argument(info, 0, UINT16_MAX));
  settings.most = Uint32Argument(info, 1);
  settings.copy = Uint32Argument(info, 2, UINT16_MAX);
  if (BooleanArgument(info, 3)) settings.flags |= NFQA_CFG_F_FAIL_OPEN;
  if (BooleanArgument(info, 4)) settings.flags |= NFQA_CFG_F_CONNTRACK;
  settings.receive_buffer = static_cast<int>(Uint32Argument(info, 5, INT32_MAX / 2));
  int error = 0;
  auto queue = Bind(settings, &error);
  if (error == -EOPNOTSUPP && (settings.flags & NFQA_CFG_F_CONNTRACK) != 0) {
    // A kernel without the glue between nfnetlink_queue and conntrack.
    settings.flags &= ~NFQA_CFG_F_CONNTRACK;
    queue = Bind(settings, &error);
  }
  if (queue == nullptr) return Errno(env, error);
  Napi::Object result = Napi::Object::New(env);
  result.Set("handle", Wrap(env, std::move(queue)));
  result.Set("conntrack", Napi::Boolean::New(env, (settings.flags & NFQA_CFG_F_CONNTRACK) != 0));
  return result;
}

// One packet's message, taken apart. Pointers are into the message.
struct Waiting {
  nfqnl_msg_packet_hdr head;
  uint32_t mark = 0;
  uint32_t input = 0;
  uint32_t output = 0;
  const uint8_t* packet = nullptr;
  uint32_t captured = 0;
  uint32_t length = 0;
  const nlattr* conntrack = nullptr;
};

bool Parse(const nlmsghdr* message, Waiting* waiting) {
  nlattr* attributes[NFQA_MAX + 1] = {};
  if (mnl_nlmsg_get_payload_len(message) < sizeof(nfgenmsg)) return false;
  if (nfq_nlmsg_parse(message, attributes) < 0) return false;
  const nlattr* head = attributes[NFQA_PACKET_HDR];
  if (head == nullptr || mnl_attr_get_payload_len(head) < sizeof(waiting->head)) return false;
  memcpy(&waiting->head, mnl_attr_get_payload(head), sizeof(waiting->head));
  auto number = [&](int type) {
    const nlattr* attribute = attributes[type];
    return attribute != nullptr && mnl_attr_get_payload_len(attribute) >= 4 ? ntohl(mnl_attr_get_u32(attribute)) : 0;
  };
  waiting->mark = number(NFQA_MARK);
  waiting->input = number(NFQA_IFINDEX_INDEV);
  waiting->output = number(NFQA_IFINDEX_OUTDEV);
  if (const nlattr* payload = attributes[NFQA_PAYLOAD]) {
    waiting->packet = static_cast<const uint8_t*>(mnl_attr_get_payload(payload));
    waiting->captured = mnl_attr_get_payload_len(payload);
  }
  waiting->length = attributes[NFQA_CAP_LEN] != nullptr ? number(NFQA_CAP_LEN) : waiting->captured;
  waiting->conntrack = attributes[NFQA_CT];
  return true;
}

// Copies packets into what becomes one Buffer, and puts down where they are.
class Batch {
 public:
  explicit Batch(QueueHandle& queue) : queue_(queue) {}

  void Add(const uint8_t* data, size_t size) {
    auto* message = reinterpret_cast<const nlmsghdr*>(data);
    for (int left = static_cast<int>(size); mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_type == NLMSG_ERROR) {
        if (mnl_nlmsg_get_payload_len(message) >= sizeof(nlmsgerr) &&
            static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error != 0) {
          queue_.verdict_errors++;
        }
      } else if (message->nlmsg_type == ((NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET) && count_ < QueueHandle::kBatch) {
        if (Parse(message, &waiting_[count_])) count_++;
      }
    }
  }

  // → the shared buffer, or 0 when there are no packets
  Napi::Value Finish(Napi::Env env, uint32_t* words, Napi::Array own) {
    if (count_ == 0) return Napi::Number::New(env, 0);
    queue_.received += count_;
    Original originals[QueueHandle::kBatch];
    bool known[QueueHandle::kBatch];
    size_t total = 0;
    for (size_t i = 0; i < count_; i++) {
      if (waiting_[i].captured <= kShared) total += waiting_[i].captured;
      originals[i] = {};
      known[i] = waiting_[i].conntrack != nullptr && OriginalOf(AttributesOf(waiting_[i].conntrack), &originals[i]);
      if (known[i]) total += sizeof(Original);
    }
    auto buffer = Napi::Buffer<uint8_t>::New(env, total);
    uint8_t* bytes = buffer.Data();
    uint32_t used = 0;
    std::vector<Napi::Value> large;
    for (size_t i = 0; i < count_; i++) {
      const Waiting& waiting = waiting_[i];
      uint32_t* word = words + 1 + i * kWordsPerPacket;
      word[0] = ntohl(waiting.head.packet_id);
      word[1] = waiting.mark;
      word[2] = waiting.head.hook;
      word[3] = waiting.input;
      word[4] = waiting.output;
      word[5] = used;
      word[6] = waiting.captured;
      word[7] = waiting.length;
      word[8] = word[9] = kNone;
      if (waiting.captured > kShared) {
        word[9] = static_cast<uint32_t>(large.size());
        large.push_back(Napi::Buffer<uint8_t>::Copy(env, waiting.packet, waiting.captured));
      } else if (waiting.captured > 0) {
        memcpy(bytes + used, waiting.packet, waiting.captured);
        used += waiting.captured;
      }
      if (known[i]) {
        word[8] = used;
        memcpy(bytes + used, &originals[i], sizeof(Original));
        used += sizeof(Original);
      }
    }
    words[0] = static_cast<uint32_t>(count_);
    // Last, because it may run JavaScript.
    for (uint32_t i = 0; i < large.size(); i++) own.Set(i, large[i]);
    return buffer;
  }

 private:
  QueueHandle& queue_;
  Waiting waiting_[QueueHandle::kBatch];
  size_t count_ = 0;
};

// What is in the socket now, at most kBatch datagrams. → how many | -errno; 0 when nothing is there.
int Receive(QueueHandle& queue, mmsghdr* messages, sockaddr_nl* senders, iovec* places) {
  for (size_t i = 0; i < QueueHandle::kBatch; i++) {
    places[i] = {queue.slots + i * queue.slot_bytes, queue.slot_bytes};
    messages[i] = {};
    messages[i].msg_hdr.msg_iov = &places[i];
    messages[i].msg_hdr.msg_iovlen = 1;
    messages[i].msg_hdr.msg_name = &senders[i];
    messages[i].msg_hdr.msg_namelen = sizeof(senders[i]);
  }
  // An overrun is told once, before what is there.
  for (int attempt = 0; attempt < 3; attempt++) {
    int count = recvmmsg(queue.fd, messages, QueueHandle::kBatch, MSG_DONTWAIT, nullptr);
    if (count >= 0) return count;
    if (errno == ENOBUFS) queue.overruns++;
    else if (errno == EAGAIN) return 0;
    else if (errno != EINTR) return -errno;
  }
  return 0;
}

// (queue, words out: count and kWordsPerPacket each, array out: buffers of large packets) → Buffer | 0 | -errno
Napi::Value ReadQueue(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  QueueHandle& queue = Unwrap<QueueHandle>(info, 0);
  Words words = WordsArgument(info, 1, 1 + kWordsPerPacket * QueueHandle::kBatch);
  Napi::Array own = ArrayArgument(info, 2);
  Batch batch(queue);
  if (!queue.early.empty()) {
    std::vector<std::vector<uint8_t>> first;
    while (!queue.early.empty() && first.size() < QueueHandle::kBatch) {
      first.push_back(std::move(queue.early.front()));
      queue.early.pop_front();
    }
    for (const auto& message : first) batch.Add(message.data(), message.size());
    return batch.Finish(env, words.data, own);
  }
  mmsghdr messages[QueueHandle::kBatch];
  sockaddr_nl senders[QueueHandle::kBatch];
  iovec places[QueueHandle::kBatch];
  int count = Receive(queue, messages, senders, places);
  if (count < 0) return Errno(env, count);
  for (int i = 0; i < count; i++) {
    // Only the kernel is believed, and only what it could say to the end.
    if (messages[i].msg_hdr.msg_namelen != sizeof(sockaddr_nl) || senders[i].nl_pid != 0) continue;
    if ((messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) queue.overruns++;
    else batch.Add(static_cast<uint8_t*>(places[i].iov_base), messages[i].msg_len);
  }
  return batch.Finish(env, words.data, own);
}

// (queue) → {received, verdictErrors, overruns}
Napi::Value QueueCounters(const Napi::CallbackInfo& info) {
  QueueHandle& queue = Unwrap<QueueHandle>(info, 0);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("received", static_cast<double>(queue.received));
  result.Set("verdictErrors", static_cast<double>(queue.verdict_errors));
  result.Set("overruns", static_cast<double>(queue.overruns));
  return result;
}

}  // namespace

void QueueHandle::Release() {
  if (watcher != nullptr) CloseWatcher(watcher);
  watcher = nullptr;
  // The kernel drops what waits here and now. libuv allows it once uv_close was called.
  close(fd);
  munmap(slots, slot_bytes * kBatch);
}

void ExportQueue(Napi::Env env, Napi::Object exports) {
  exports.Set("openQueue", Napi::Function::New<OpenQueue>(env));
  exports.Set("readQueue", Napi::Function::New<ReadQueue>(env));
  exports.Set("queueCounters", Napi::Function::New<QueueCounters>(env));
}

}  // namespace netfilter
