// SPDX-License-Identifier: Apache-2.0
//
// Verdicts: netlink messages one behind the other, as many as fit into one sendto(2). The kernel answers only those it
// refuses, and lets the packets go before the call returns.
#include <cerrno>
#include <vector>

#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/socket.h>

#include "arguments.h"
#include "queue.h"

namespace netfilter {

namespace {

// What one verdict is told by: id, NF_* action, whether there is a mark, the mark, index of its packet plus 1.
constexpr size_t kWordsPerVerdict = 5;
// Far below the socket's send buffer, with the largest packet beside it.
constexpr size_t kMostBytes = 64 * 1024;
// An attribute's length has 16 bits.
constexpr size_t kMostPacket = UINT16_MAX - MNL_ATTR_HDRLEN;
constexpr size_t kMessageBytes = MNL_ALIGN(MNL_NLMSG_HDRLEN + sizeof(nfgenmsg)) + MNL_ALIGN(MNL_ATTR_HDRLEN + sizeof(nfqnl_msg_verdict_hdr)) +
                                 MNL_ALIGN(MNL_ATTR_HDRLEN + sizeof(uint32_t)) + MNL_ALIGN(MNL_ATTR_HDRLEN);

int Flush(int fd, std::vector<uint8_t>& outgoing) {
  if (outgoing.empty()) return 0;
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent;
  do {
    sent = sendto(fd, outgoing.data(), outgoing.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&kernel), sizeof(kernel));
  } while (sent < 0 && errno == EINTR);
  int error = sent < 0 ? -errno : 0;
  outgoing.clear();
  return error;
}

void Append(uint16_t number, std::vector<uint8_t>& outgoing, const uint32_t* word, Bytes packet) {
  size_t at = outgoing.size();
  outgoing.resize(at + kMessageBytes + MNL_ALIGN(packet.size));
  char* place = reinterpret_cast<char*>(outgoing.data() + at);
  nlmsghdr* message = nfq_nlmsg_put(place, NFQNL_MSG_VERDICT, number);
  // Answered only when refused.
  message->nlmsg_flags = NLM_F_REQUEST;
  nfq_nlmsg_verdict_put(message, static_cast<int>(word[0]), static_cast<int>(word[1]));
  if (word[2] != 0) nfq_nlmsg_verdict_put_mark(message, word[3]);
  if (packet.data != nullptr) nfq_nlmsg_verdict_put_pkt(message, packet.data, static_cast<uint32_t>(packet.size));
  outgoing.resize(at + MNL_ALIGN(message->nlmsg_len));
}

// (queue, words: kWordsPerVerdict each, count, array of packets) → 0 | -errno
Napi::Value SendVerdicts(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  QueueHandle& queue = Unwrap<QueueHandle>(info, 0);
  uint32_t count = Uint32Argument(info, 2, 1 << 24);
  Words given = WordsArgument(info, 1, kWordsPerVerdict * count);
  Napi::Array packets = ArrayArgument(info, 3);
  // An element of the array may be an accessor, which runs JavaScript: what it can take away is kept here.
  const std::vector<uint32_t> words(given.data, given.data + kWordsPerVerdict * count);
  std::vector<uint8_t> outgoing;
  outgoing.swap(queue.outgoing);
  outgoing.clear();
  int error = 0;
  for (uint32_t i = 0; i < count && error == 0; i++) {
    const uint32_t* word = words.data() + i * kWordsPerVerdict;
    if (word[1] != NF_DROP && word[1] != NF_ACCEPT && word[1] != NF_REPEAT) ThrowArgument(env, 1, "of drop, accept and repeat");
    Bytes packet = {nullptr, 0};
    if (word[4] != 0) {
      Napi::Value value = packets.Get(word[4] - 1);
      if (queue.closed()) return Errno(env, ESHUTDOWN);
      packet = BytesOf(info, 3, value);
      if (packet.size == 0 || packet.size > kMostPacket) ThrowArgument(env, 3, "packets of 1 to 65531 bytes");
    }
    if (outgoing.size() + kMessageBytes + packet.size > kMostBytes) error = Flush(queue.fd, outgoing);
    Append(queue.number, outgoing, word, packet);
  }
  if (error == 0) error = Flush(queue.fd, outgoing);
  outgoing.swap(queue.outgoing);
  return Errno(env, error);
}

}  // namespace

void ExportVerdicts(Napi::Env env, Napi::Object exports) { exports.Set("sendVerdicts", Napi::Function::New<SendVerdicts>(env)); }

}  // namespace netfilter
