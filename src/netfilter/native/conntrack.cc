// SPDX-License-Identifier: Apache-2.0
//
// Asks conntrack about one connection, over a socket of its own: the kernel answers before sendto(2) returns.
#include "conntrack.h"

#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "handle.h"

namespace netfilter {

namespace {

// A connection with all that is said about it: counters, NAT, helper, labels, security context.
constexpr size_t kAnswerRoom = 16384;

class ConntrackHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kConntrack;
  explicit ConntrackHandle(int fd) : Handle(kKind), fd(fd) {}
  ~ConntrackHandle() override { Close(); }

  const int fd;
  uint32_t sequence = 0;

 protected:
  void Release() override { close(fd); }
};

const nlattr* Find(Attributes attributes, int type) {
  auto* attribute = reinterpret_cast<const nlattr*>(attributes.begin);
  while (mnl_attr_ok(attribute, static_cast<int>(attributes.end - reinterpret_cast<const char*>(attribute)))) {
    if (mnl_attr_get_type(attribute) == type) return attribute;
    attribute = mnl_attr_next(attribute);
  }
  return nullptr;
}

bool Copy(Attributes attributes, int type, void* to, size_t size) {
  const nlattr* attribute = Find(attributes, type);
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < size) return false;
  memcpy(to, mnl_attr_get_payload(attribute), size);
  return true;
}

// What answers a packet, as long as nobody rewrites the packet's source.
void PutAnswer(nlmsghdr* message, const Original& packet) {
  bool ipv4 = packet.version == 4;
  size_t size = ipv4 ? 4 : 16;
  nlattr* tuple = mnl_attr_nest_start(message, CTA_TUPLE_REPLY);
  nlattr* addresses = mnl_attr_nest_start(message, CTA_TUPLE_IP);
  mnl_attr_put(message, ipv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, size, packet.destination);
  mnl_attr_put(message, ipv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, size, packet.source);
  mnl_attr_nest_end(message, addresses);
  nlattr* protocol = mnl_attr_nest_start(message, CTA_TUPLE_PROTO);
  mnl_attr_put_u8(message, CTA_PROTO_NUM, packet.protocol);
  mnl_attr_put_u16(message, CTA_PROTO_SRC_PORT, packet.destination_port);
  mnl_attr_put_u16(message, CTA_PROTO_DST_PORT, packet.source_port);
  mnl_attr_nest_end(message, protocol);
  mnl_attr_nest_end(message, tuple);
}

int Send(ConntrackHandle& conntrack, const Original& packet) {
  alignas(nlmsghdr) char buffer[512];
  nlmsghdr* message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET;
  message->nlmsg_flags = NLM_F_REQUEST;
  message->nlmsg_seq = ++conntrack.sequence;
  auto* head = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
  head->nfgen_family = packet.version == 4 ? AF_INET : AF_INET6;
  head->version = NFNETLINK_V0;
  head->res_id = 0;
  PutAnswer(message, packet);
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent = sendto(conntrack.fd, message, message->nlmsg_len, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof(kernel));
  return sent < 0 ? -errno : 0;
}

// → 0 | -ENOENT where nothing like it is tracked | -errno
int Receive(ConntrackHandle& conntrack, Original* original) {
  alignas(nlmsghdr) static thread_local char answer[kAnswerRoom];
  for (;;) {
    sockaddr_nl sender = {};
    socklen_t length = sizeof(sender);
    ssize_t got = recvfrom(conntrack.fd, answer, sizeof(answer), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&sender), &length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN ? -ETIMEDOUT : -errno;
    if (sender.nl_pid != 0) continue;
    auto* message = reinterpret_cast<nlmsghdr*>(answer);
    if (!mnl_nlmsg_ok(message, static_cast<int>(got))) return -EBADMSG;
    // Of a question that was given up.
    if (message->nlmsg_seq != conntrack.sequence) continue;
    if (message->nlmsg_type == NLMSG_ERROR) {
      if (mnl_nlmsg_get_payload_len(message) < sizeof(nlmsgerr)) return -EBADMSG;
      int error = static_cast<nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
      return error == 0 ? -EBADMSG : error;
    }
    if (mnl_nlmsg_get_payload_len(message) < sizeof(nfgenmsg)) return -EBADMSG;
    Attributes all = {static_cast<const char*>(mnl_nlmsg_get_payload_offset(message, sizeof(nfgenmsg))),
                      static_cast<const char*>(mnl_nlmsg_get_payload_tail(message))};
    return OriginalOf(all, original) ? 0 : -EBADMSG;
  }
}

// () → handle | -errno
Napi::Value OpenConntrack(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
  if (fd < 0) return Errno(env, errno);
  auto conntrack = std::make_unique<ConntrackHandle>(fd);
  sockaddr_nl local = {};
  local.nl_family = AF_NETLINK;
  int on = 1;
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
  if (bind(fd, reinterpret_cast<sockaddr*>(&local), sizeof(local)) < 0) return Errno(env, errno);
  return Wrap(env, std::move(conntrack));
}

// (conntrack, packet and room for the answer: an Original each) → 0 | -errno
Napi::Value FindOriginal(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  ConntrackHandle& conntrack = Unwrap<ConntrackHandle>(info, 0);
  Bytes bytes = BytesOf(info, 1, info[1]);
  if (bytes.size != 2 * sizeof(Original)) ThrowArgument(env, 1, "two tuples of 40 bytes");
  Original packet;
  memcpy(&packet, bytes.data, sizeof(packet));
  Original original = {};
  int error = Send(conntrack, packet);
  if (error == 0) error = Receive(conntrack, &original);
  if (error == 0) memcpy(bytes.data + sizeof(packet), &original, sizeof(original));
  return Errno(env, error);
}

}  // namespace

Attributes AttributesOf(const nlattr* parent) {
  auto* begin = static_cast<const char*>(mnl_attr_get_payload(parent));
  return {begin, begin + mnl_attr_get_payload_len(parent)};
}

bool OriginalOf(Attributes connection, Original* original) {
  const nlattr* tuple = Find(connection, CTA_TUPLE_ORIG);
  if (tuple == nullptr) return false;
  const nlattr* nested_addresses = Find(AttributesOf(tuple), CTA_TUPLE_IP);
  const nlattr* nested_protocol = Find(AttributesOf(tuple), CTA_TUPLE_PROTO);
  if (nested_addresses == nullptr || nested_protocol == nullptr) return false;
  Attributes addresses = AttributesOf(nested_addresses);
  Attributes protocol = AttributesOf(nested_protocol);
  if (Copy(addresses, CTA_IP_V4_SRC, original->source, 4) && Copy(addresses, CTA_IP_V4_DST, original->destination, 4)) {
    original->version = 4;
  } else if (Copy(addresses, CTA_IP_V6_SRC, original->source, 16) && Copy(addresses, CTA_IP_V6_DST, original->destination, 16)) {
    original->version = 6;
  } else {
    return false;
  }
  if (!Copy(protocol, CTA_PROTO_NUM, &original->protocol, 1)) return false;
  // Protocols without ports have none.
  Copy(protocol, CTA_PROTO_SRC_PORT, &original->source_port, 2);
  Copy(protocol, CTA_PROTO_DST_PORT, &original->destination_port, 2);
  return true;
}

void ExportConntrack(Napi::Env env, Napi::Object exports) {
  exports.Set("openConntrack", Napi::Function::New<OpenConntrack>(env));
  exports.Set("findOriginal", Napi::Function::New<FindOriginal>(env));
}

}  // namespace netfilter
