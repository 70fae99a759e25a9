/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_DESTINATIONS_H
#define SALLYPORT_DESTINATIONS_H

/*
 * Whom sockets are connected to, and whom datagrams are sent to: as the kernel will understand the address, not as it is
 * written. IPv4 is judged as mapped addresses, whatever socket it is used on; nobody's address means this machine. Who
 * writes headers of its own may mean anybody, and is refused by any rule that refuses somebody.
 */

#include "sockets.h"

#define PROTOCOL_RAW 255
#define LOOPBACK 0x7f000001
#define SCTP_ADDRESSES 8 /* of one list; longer ones are refused */
#define SCTP_SET_PEER_PRIMARY_ADDR 5
#define SCTP_PRIMARY_ADDR 6
#define SCTP_SOCKOPT_BINDX_ADD 100
#define SHORTEST 16     /* that an address of IPv4 may be */
#define SHORTEST_SIX 24 /* without the scope */

struct sockaddr;

struct in6_addr {
	__u8 s6_addr[16];
} KERNEL;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	unsigned short skc_family;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
} KERNEL;

struct sock {
	struct sock_common __sk_common;
	__u8 sk_kern_sock : 1;
	__u16 sk_type;
	__u16 sk_protocol;
} KERNEL;

struct socket {
	struct sock *sk;
} KERNEL;

struct msghdr {
	void *msg_name;
	int msg_namelen;
} KERNEL;

/* sockaddr_in and sockaddr_in6, one over the other. */
struct sockaddr_bytes {
	__u16 family;
	__be16 port;
	__u32 four;  /* IPv4 address; IPv6: flow label */
	__u32 six[4];
	__u32 scope;
};

struct destination {
	__u32 address[4]; /* struct address */
	__u16 port;
	__u8 protocol;
	__u8 raw;      /* has no port, and any protocol it likes */
	__u8 anywhere; /* writes the packets' headers itself */
};

static __always_inline void set_four(struct destination *to, __be32 address)
{
	to->address[0] = 0;
	to->address[1] = 0;
	to->address[2] = bpf_htonl(0xffff);
	to->address[3] = address;
}

/* Nobody's address: the socket's own, or the loopback's. */
static __always_inline void resolve_nobody(struct destination *to, const struct sock *sk)
{
	__be32 own = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
	__u32 six[4] = {};

	if (to->address[0] || to->address[1] || to->address[3])
		return;
	if (to->address[2] == bpf_htonl(0xffff)) {
		to->address[3] = own ?: bpf_htonl(LOOPBACK);
		return;
	}
	if (to->address[2])
		return;
	BPF_CORE_READ_INTO(&six, sk, __sk_common.skc_v6_rcv_saddr);
	if (!six[0] && !six[1] && six[2] == bpf_htonl(0xffff))
		set_four(to, bpf_htonl(LOOPBACK));
	else
		to->address[3] = bpf_htonl(1);
}

static __always_inline void know_socket(struct destination *to, const struct sock *sk)
{
	__u32 protocol = BPF_CORE_READ(sk, sk_protocol), type = BPF_CORE_READ(sk, sk_type);

	/* What runs over TCP under another number: MPTCP, SMC. */
	if (type == SOCK_STREAM && (protocol > PROTOCOL_RAW || protocol < IPPROTO_TCP))
		protocol = IPPROTO_TCP;
	to->protocol = protocol;
	to->raw = type == SOCK_RAW;
	to->anywhere = to->raw && protocol == PROTOCOL_RAW;
}

/*
 * The address as a socket takes it. False where it is none of the internet's. `sending` sockets of IPv4, and raw ones,
 * take an address of no family for their own family's.
 */
static __noinline bool read_destination(struct destination *to, const struct sock *sk, const void *address, int length,
					bool sending)
{
	__u32 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	struct sockaddr_bytes bytes = {};

	/* It has room for any address, and shorter ones are refused by whoever uses them. */
	if (length < SHORTEST || bpf_probe_read_kernel(&bytes, sizeof(bytes), address))
		return false;
	if (bytes.family != AF_UNSPEC)
		family = bytes.family;
	else if (!sending)
		return false;
	if (family == AF_INET)
		set_four(to, bytes.four);
	else if (family == AF_INET6 && length >= SHORTEST_SIX)
		__builtin_memcpy(to->address, bytes.six, sizeof(bytes.six));
	else
		return false;
	to->port = bpf_ntohs(bytes.port);
	know_socket(to, sk);
	resolve_nobody(to, sk);
	return true;
}

/* Whom it is connected to already. */
static __always_inline bool read_peer(struct destination *to, const struct sock *sk)
{
	__u32 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	to->port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (family == AF_INET)
		set_four(to, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	else if (family == AF_INET6)
		BPF_CORE_READ_INTO(&to->address, sk, __sk_common.skc_v6_daddr);
	else
		return false;
	know_socket(to, sk);
	return to->port || to->address[3];
}

static __always_inline bool lies_in(const struct network_rule *rule, const struct destination *to)
{
	const __u32 *network = (const __u32 *)rule->network.bytes;
	__u32 different = 0;

	for (int word = 0; word < 4; word++) {
		int bits = (int)rule->prefix - 32 * word;
		__u32 mask = bits >= 32 ? ~0U : bits <= 0 ? 0 : bpf_htonl(~0U << (32 - bits));

		different |= (network[word] ^ to->address[word]) & mask;
	}
	return !different;
}

struct network_search {
	struct bearer *bearer;
	const struct profile *head;
	const struct destination *to;
	__u32 rulings;
	int outcome; /* where it is not left to `rulings` */
};

static long search_network_rule(__u32 index, struct network_search *search)
{
	const struct network_rule *rule = &search->head->networks[index % PROFILE_NETWORKS];
	const struct destination *to = search->to;
	bool perhaps = to->anywhere;

	if (!rule->rulings)
		return 1;
	if (!perhaps && !lies_in(rule, to))
		return 0;
	if (rule->protocol && rule->protocol != to->protocol) {
		if (!to->raw || to->protocol != PROTOCOL_RAW)
			return 0;
		perhaps = true;
	}
	if (to->raw)
		perhaps |= rule->port || rule->end_port != 0xffff;
	else if (to->port < rule->port || to->port > rule->end_port)
		return 0;
	if (perhaps) {
		/* It counts if it refuses. */
		search->outcome = rule_on(search->bearer, rule->rulings, CLASS_QUIET, 0);
		if (!search->outcome)
			return 0;
	}
	search->rulings = rule->rulings;
	return 1;
}

/* Whether its profile says nothing of destinations, as most do: asking costs less than reading where a socket leads. */
static __always_inline bool may_go_anywhere(struct bearer *bearer)
{
	void *profile = profile_of(bearer);
	const struct profile *head = profile ? head_of(profile) : NULL;

	return head && !head->network_default && !head->networks[0].rulings;
}

FUNCTION judge_destination(struct bearer *bearer, struct destination *to)
{
	struct network_search search = {};
	__u64 detail;
	void *profile;
	int outcome;

	if (!bearer || !to)
		return -EPERM;
	detail = (__u64)to->protocol << 16 | to->port;
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		profile = profile_of(bearer);
		search.head = profile ? head_of(profile) : NULL;
		if (!search.head)
			return refuse_orphan(bearer, CLASS_NETWORK, detail);
		search.bearer = bearer;
		search.to = to;
		search.rulings = search.head->network_default;
		search.outcome = 0;
		if (!search.rulings && !search.head->networks[0].rulings)
			return 0;
		bearer->walk.dentry = 0;
		bearer->walk.flags = WALK_TEXT;
		keep_current(bearer, search.head);
		/* What a violation tells. */
		__builtin_memset(bearer->text, 0, sizeof(bearer->text));
		__builtin_memcpy(bearer->text, to->address, sizeof(to->address));
		bpf_loop(PROFILE_NETWORKS, search_network_rule, &search, 0);
		outcome = search.outcome == AGAIN ? AGAIN : rule_on(bearer, search.rulings, CLASS_NETWORK, detail);
		if (outcome != AGAIN)
			return outcome;
	}
	return -EPERM;
}

static __always_inline bool is_kernels(const struct sock *sk)
{
	return BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock);
}

SEC("lsm/socket_connect")
int BPF_PROG(connect_socket, struct socket *socket, struct sockaddr *address, int length)
{
	struct sock *sk = socket->sk;
	struct destination to = {};
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer || !sk)
		return refused;
	if (likely(may_go_anywhere(bearer)) || !read_destination(&to, sk, address, length, false))
		return 0;
	return judge_destination(bearer, &to) ? -EPERM : 0;
}

SEC("lsm/socket_sendmsg")
int BPF_PROG(send_message, struct socket *socket, struct msghdr *message, int size)
{
	struct sock *sk = socket->sk;
	struct destination to = {};
	struct bearer *bearer;
	int refused = bearer_now(&bearer);
	void *name;

	if (!bearer || !sk)
		return refused;
	name = message->msg_name;
	if (likely(!name && !(bearer->flags & BEARER_OLD_FILES)))
		return 0;
	if (may_go_anywhere(bearer) || is_kernels(sk))
		return 0;
	if (name ? !read_destination(&to, sk, name, message->msg_namelen, true) : !read_peer(&to, sk))
		return 0;
	return judge_destination(bearer, &to) ? -EPERM : 0;
}

#define IP_HDRINCL 3
#define IPV6_HDRINCL 36

/* From now on the socket's packets go where their own headers say. */
SEC("lsm/socket_setsockopt")
int BPF_PROG(set_option, struct socket *socket, int level, int option)
{
	struct destination to = {};
	struct sock *sk = socket->sk;
	struct bearer *bearer;
	int refused;

	if (likely((level != IPPROTO_IP || option != IP_HDRINCL) && (level != IPPROTO_IPV6 || option != IPV6_HDRINCL)))
		return 0;
	refused = bearer_now(&bearer);
	if (!bearer || !sk)
		return refused;
	know_socket(&to, sk);
	to.anywhere = true;
	return to.raw && judge_destination(bearer, &to) ? -EPERM : 0;
}

/* Addresses that come by setsockopt: a list, one behind the other. */
SEC("lsm/sctp_bind_connect")
int BPF_PROG(connect_association, struct sock *sk, int option, struct sockaddr *address, int length)
{
	struct destination to = {};
	struct bearer *bearer;
	int refused = bearer_now(&bearer), at = 0;
	__u16 family;

	if (!bearer)
		return refused;
	/* About an association that is there already, or addresses of ours. */
	if (option == SCTP_PRIMARY_ADDR || option == SCTP_SET_PEER_PRIMARY_ADDR || option == SCTP_SOCKOPT_BINDX_ADD)
		return 0;
	for (int index = 0; index < SCTP_ADDRESSES && at < length; index++) {
		const void *here = (const void *)address + at;

		family = 0;
		bpf_probe_read_kernel(&family, sizeof(family), here);
		if (!read_destination(&to, sk, here, length - at, false))
			return 0;
		if (judge_destination(bearer, &to))
			return -EPERM;
		at += family == AF_INET ? 16 : 28;
	}
	return at < length ? -EPERM : 0;
}

#endif
