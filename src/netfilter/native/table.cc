// SPDX-License-Identifier: Apache-2.0
//
// Deletes a table of nf_tables if nothing is in it. No tool can: theirs deletes whatever somebody has put in meanwhile.
#include <cerrno>
#include <cstring>
#include <string>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "handle.h"

#ifndef NLM_F_NONREC
#define NLM_F_NONREC 0x100
#endif

namespace netfilter {

namespace {

constexpr uint32_t kDeleteSequence = 2;

nlmsghdr* Put(char* place, uint16_t type, uint16_t flags, uint32_t sequence, uint8_t family, uint16_t subsystem) {
  nlmsghdr* message = mnl_nlmsg_put_header(place);
  message->nlmsg_type = type;
  message->nlmsg_flags = NLM_F_REQUEST | flags;
  message->nlmsg_seq = sequence;
  auto* head = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
  head->nfgen_family = family;
  head->version = NFNETLINK_V0;
  head->res_id = htons(subsystem);
  return message;
}

int Exchange(int fd, const char* batch, size_t size) {
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  if (sendto(fd, batch, size, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof(kernel)) < 0) return -errno;
  // The kernel has answered before sendto(2) returned.
  for (;;) {
    alignas(nlmsghdr) char answer[4096];
    ssize_t got = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN ? -ETIMEDOUT : -errno;
    auto* message = reinterpret_cast<nlmsghdr*>(answer);
    for (int left = static_cast<int>(got); mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(message) < sizeof(nlmsgerr)) continue;
      int error = static_cast<nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
      if (error != 0 || message->nlmsg_seq == kDeleteSequence) return error;
    }
  }
}

// (IPv6 rather than IPv4, name) → 0 | -EBUSY when something is in it | -errno
Napi::Value DeleteEmptyTable(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint8_t family = BooleanArgument(info, 0) ? NFPROTO_IPV6 : NFPROTO_IPV4;
  if (!info[1].IsString()) ThrowArgument(env, 1, "a string");
  std::string name = info[1].As<Napi::String>().Utf8Value();
  if (name.empty() || name.size() >= NFT_TABLE_MAXNAMELEN) ThrowArgument(env, 1, "a table's name");
  alignas(nlmsghdr) char batch[1024];
  size_t size = 0;
  size += Put(batch, NFNL_MSG_BATCH_BEGIN, 0, 1, AF_UNSPEC, NFNL_SUBSYS_NFTABLES)->nlmsg_len;
  nlmsghdr* message = Put(batch + size, (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_DELTABLE, NLM_F_ACK | NLM_F_NONREC, kDeleteSequence, family, 0);
  mnl_attr_put_strz(message, NFTA_TABLE_NAME, name.c_str());
  size += MNL_ALIGN(message->nlmsg_len);
  size += Put(batch + size, NFNL_MSG_BATCH_END, 0, 3, AF_UNSPEC, NFNL_SUBSYS_NFTABLES)->nlmsg_len;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) return Errno(env, errno);
  int error = Exchange(fd, batch, size);
  close(fd);
  return Errno(env, error);
}

}  // namespace

void ExportTable(Napi::Env env, Napi::Object exports) {
  exports.Set("deleteEmptyTable", Napi::Function::New<DeleteEmptyTable>(env));
}

}  // namespace netfilter
