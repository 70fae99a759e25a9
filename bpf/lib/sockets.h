/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_SOCKETS_H
#define SALLYPORT_SOCKETS_H

/* Making sockets. What the kernel makes for itself on a task's way is not judged. */

#include "judge-path.h"

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_SEQPACKET 5
#define ANY_NUMBER 0xffff

struct socket_question {
	__u32 family;
	__u32 type;
	__u32 protocol;
};

/* Protocol 0 stands for the family's own. */
static __always_inline __u32 protocol_of(__u32 family, __u32 type, __u32 protocol)
{
	if (protocol || (family != AF_INET && family != AF_INET6))
		return protocol;
	switch (type) {
	case SOCK_STREAM:
		return IPPROTO_TCP;
	case SOCK_DGRAM:
		return IPPROTO_UDP;
	case SOCK_SEQPACKET:
		return IPPROTO_SCTP;
	}
	return protocol;
}

static __always_inline bool fits(__u32 wanted, __u32 number)
{
	return wanted == ANY_NUMBER || wanted == number;
}

struct socket_search {
	const struct profile *head;
	const struct socket_question *question;
	__u32 rulings;
};

static long search_socket_rule(__u32 index, struct socket_search *search)
{
	const struct socket_rule *rule = &search->head->sockets[index % PROFILE_SOCKETS];
	const struct socket_question *question = search->question;

	if (!rule->rulings)
		return 1;
	if (!fits(rule->family, question->family) || !fits(rule->type, question->type) ||
	    !fits(rule->protocol, question->protocol))
		return 0;
	search->rulings = rule->rulings;
	return 1;
}

FUNCTION judge_socket(struct bearer *bearer, struct socket_question *question)
{
	struct socket_search search = {};
	__u64 detail;
	void *profile;
	int outcome;

	if (!bearer || !question)
		return -EPERM;
	detail = (__u64)question->family << 32 | (question->type & 0xffff) << 16 | (question->protocol & 0xffff);
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		profile = profile_of(bearer);
		search.head = profile ? head_of(profile) : NULL;
		if (!search.head)
			return refuse_orphan(bearer, CLASS_SOCKET, detail);
		search.question = question;
		search.rulings = search.head->socket_default;
		if (!search.rulings && !search.head->sockets[0].rulings)
			return 0;
		bearer->walk.dentry = 0;
		bearer->walk.flags = WALK_INTERNAL;
		keep_current(bearer, search.head);
		bpf_loop(PROFILE_SOCKETS, search_socket_rule, &search, 0);
		outcome = rule_on(bearer, search.rulings, CLASS_SOCKET, detail);
		if (outcome != AGAIN)
			return outcome;
	}
	return -EPERM;
}

SEC("lsm/socket_create")
int BPF_PROG(make_socket, int family, int type, int protocol, int kern)
{
	struct socket_question question = { .family = family, .type = type };
	struct bearer *bearer;
	int refused;

	if (kern)
		return 0;
	refused = bearer_now(&bearer);
	if (!bearer)
		return refused;
	question.protocol = protocol_of(family, type, protocol);
	return judge_socket(bearer, &question) ? -EPERM : 0;
}

#endif
