// SPDX-License-Identifier: Apache-2.0
//
// Netlink sockets, also of another network namespace: a socket belongs to the namespace its maker was in, so a
// thread of its own enters the namespace, makes the socket and ends. The caller's threads never move.
#include <cerrno>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "arguments.h"
#include "exports.h"
#include "log.h"

namespace bpfts {

namespace {

class NetlinkHandle : public DescriptorHandle {
 public:
  static constexpr Kind kKind = Kind::kNetlink;
  explicit NetlinkHandle(int fd) : DescriptorHandle(kKind, fd) {}
};

// A descriptor or -errno.
int OpenSocket(int protocol, uint32_t groups) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) return -errno;
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  // A dump that the kernel never ends must not hold the caller for ever.
  timeval timeout = {5, 0};
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0 ||
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

int OpenSocketIn(const std::string& netns, int protocol, uint32_t groups) {
  // O_NONBLOCK: the path may turn out to be a FIFO.
  int namespace_fd = open(netns.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (namespace_fd < 0) return -errno;
  int result = -EIO;
  try {
    std::thread thread([&] { result = setns(namespace_fd, CLONE_NEWNET) < 0 ? -errno : OpenSocket(protocol, groups); });
    thread.join();
  } catch (const std::system_error& error) {
    result = -error.code().value();
  }
  close(namespace_fd);
  return result;
}

// (protocol, multicast groups, path of a network namespace | undefined for our own) → handle | -errno
Napi::Value OpenNetlink(const Napi::CallbackInfo& info) {
  int protocol = Int32Argument(info, 0);
  uint32_t groups = Uint32Argument(info, 1);
  int fd = IsNullish(info, 2) ? OpenSocket(protocol, groups) : OpenSocketIn(StringArgument(info, 2), protocol, groups);
  if (fd < 0) return Errno(info.Env(), fd);
  return Wrap(info.Env(), std::make_unique<NetlinkHandle>(fd));
}

Napi::Value SendNetlink(const Napi::CallbackInfo& info) {
  NetlinkHandle& netlink = Unwrap<NetlinkHandle>(info, 0);
  Bytes message = BytesArgument(info, 1, sizeof(nlmsghdr));
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent = sendto(netlink.fd(), message.data, message.size, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof(kernel));
  return Errno(info.Env(), sent < 0 ? -errno : 0);
}

// (socket, buffer out, wait) → bytes of one datagram | -errno; -EMSGSIZE when it did not fit.
Napi::Value ReceiveNetlink(const Napi::CallbackInfo& info) {
  NetlinkHandle& netlink = Unwrap<NetlinkHandle>(info, 0);
  Bytes buffer = BytesArgument(info, 1, sizeof(nlmsghdr));
  int flags = BooleanArgument(info, 2) ? 0 : MSG_DONTWAIT;
  for (;;) {
    sockaddr_nl sender = {};
    iovec place = {buffer.data, buffer.size};
    msghdr message = {};
    message.msg_name = &sender;
    message.msg_namelen = sizeof(sender);
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    ssize_t size = recvmsg(netlink.fd(), &message, flags);
    if (size < 0) return Errno(info.Env(), errno);
    if ((message.msg_flags & MSG_TRUNC) != 0) return Errno(info.Env(), EMSGSIZE);
    // Any process may write to a netlink socket; only the kernel's word counts.
    if (sender.nl_pid == 0) return Napi::Number::New(info.Env(), static_cast<double>(size));
  }
}

}  // namespace

void ExportNetlink(Napi::Env env, Napi::Object exports) {
  Export<OpenNetlink>(env, exports, "openNetlink");
  Export<SendNetlink>(env, exports, "sendNetlink");
  Export<ReceiveNetlink>(env, exports, "receiveNetlink");
}

}  // namespace bpfts
