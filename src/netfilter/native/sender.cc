// SPDX-License-Identifier: Apache-2.0
//
// Raw sockets for whole IP packets. The mark goes beside each packet (SO_MARK as control message, Linux 5.5), so that
// nothing is remembered from one to the next.
#include <cerrno>
#include <cstring>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "handle.h"

#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif

namespace netfilter {

namespace {

class SenderHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kSender;
  SenderHandle() : Handle(kKind) {}
  ~SenderHandle() override { Close(); }

  int ipv4 = -1;
  // -1 on a host without IPv6.
  int ipv6 = -1;

 protected:
  void Release() override {
    if (ipv4 >= 0) close(ipv4);
    if (ipv6 >= 0) close(ipv6);
  }
};

int RawSocket(int family, int level, int option) {
  int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
  if (fd < 0) return -errno;
  int on = 1;
  int bytes = 4 << 20;
  if (setsockopt(fd, level, option, &on, sizeof(on)) < 0) {
    int error = -errno;
    close(fd);
    return error;
  }
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
  return fd;
}

// () → {handle, ipv6: whether IPv6 can be sent} | -errno
Napi::Value OpenSender(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto sender = std::make_unique<SenderHandle>();
  sender->ipv4 = RawSocket(AF_INET, IPPROTO_IP, IP_HDRINCL);
  if (sender->ipv4 < 0) return Errno(env, sender->ipv4);
  sender->ipv6 = RawSocket(AF_INET6, IPPROTO_IPV6, IPV6_HDRINCL);
  if (sender->ipv6 < 0 && sender->ipv6 != -EAFNOSUPPORT) return Errno(env, sender->ipv6);
  bool ipv6 = sender->ipv6 >= 0;
  Napi::Object result = Napi::Object::New(env);
  result.Set("handle", Wrap(env, std::move(sender)));
  result.Set("ipv6", Napi::Boolean::New(env, ipv6));
  return result;
}

// (sender, packet, mark) → 0 | -errno. The packet has a whole header: TypeScript has looked.
Napi::Value SendPacket(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  SenderHandle& sender = Unwrap<SenderHandle>(info, 0);
  uint32_t mark = Uint32Argument(info, 2);
  Bytes packet = BytesOf(info, 1, info[1]);
  int version = packet.size > 0 ? packet.data[0] >> 4 : 0;
  if (!(version == 4 && packet.size >= 20) && !(version == 6 && packet.size >= 40)) {
    ThrowArgument(env, 1, "an IP packet with its header");
  }
  sockaddr_storage to = {};
  msghdr message = {};
  message.msg_name = &to;
  if (version == 4) {
    auto* address = reinterpret_cast<sockaddr_in*>(&to);
    address->sin_family = AF_INET;
    memcpy(&address->sin_addr, packet.data + 16, 4);
    message.msg_namelen = sizeof(*address);
  } else {
    auto* address = reinterpret_cast<sockaddr_in6*>(&to);
    address->sin6_family = AF_INET6;
    memcpy(&address->sin6_addr, packet.data + 24, 16);
    message.msg_namelen = sizeof(*address);
  }
  iovec whole = {packet.data, packet.size};
  message.msg_iov = &whole;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(mark))] = {};
  if (mark != 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SO_MARK;
    head->cmsg_len = CMSG_LEN(sizeof(mark));
    memcpy(CMSG_DATA(head), &mark, sizeof(mark));
  }
  int fd = version == 4 ? sender.ipv4 : sender.ipv6;
  if (fd < 0) return Errno(env, EAFNOSUPPORT);
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return Errno(env, sent < 0 ? errno : 0);
}

}  // namespace

void ExportSender(Napi::Env env, Napi::Object exports) {
  exports.Set("openSender", Napi::Function::New<OpenSender>(env));
  exports.Set("sendPacket", Napi::Function::New<SendPacket>(env));
}

}  // namespace netfilter
