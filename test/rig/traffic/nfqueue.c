/*
 * nfqueue: accepts whatever the kernel queues, as the smallest user-space verdict there can be. Speaks nfnetlink
 * itself (linux/netfilter/nfnetlink_queue.h), so that the tool stays static. Runs until it is killed.
 */
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <string.h>
#include <unistd.h>

struct request {
	struct nlmsghdr head;
	struct nfgenmsg queue;
	char attributes[64];
};

static void begin(struct request *request, uint16_t type, uint16_t flags, uint16_t queue)
{
	memset(request, 0, sizeof(*request));
	request->head.nlmsg_len = NLMSG_LENGTH(sizeof(struct nfgenmsg));
	request->head.nlmsg_type = (NFNL_SUBSYS_QUEUE << 8) | type;
	request->head.nlmsg_flags = NLM_F_REQUEST | flags;
	request->queue.nfgen_family = AF_UNSPEC;
	request->queue.res_id = htons(queue);
}

static void add(struct request *request, uint16_t type, const void *data, uint16_t size)
{
	struct nlattr *attribute = (struct nlattr *)((char *)request + NLMSG_ALIGN(request->head.nlmsg_len));

	attribute->nla_type = type;
	attribute->nla_len = NLA_HDRLEN + size;
	memcpy((char *)attribute + NLA_HDRLEN, data, size);
	request->head.nlmsg_len = NLMSG_ALIGN(request->head.nlmsg_len) + NLA_ALIGN(attribute->nla_len);
}

static void configure(int fd, struct request *request)
{
	char answer[256];
	struct nlmsghdr *head = (struct nlmsghdr *)answer;

	if (send(fd, request, request->head.nlmsg_len, 0) < 0 || recv(fd, answer, sizeof(answer), 0) < 0)
		fail("nfnetlink");
	if (head->nlmsg_type == NLMSG_ERROR && ((struct nlmsgerr *)NLMSG_DATA(head))->error) {
		errno = -((struct nlmsgerr *)NLMSG_DATA(head))->error;
		fail("nfqueue");
	}
}

static void accept_packet(int fd, const struct nlmsghdr *head, uint16_t queue)
{
	const char *at = (const char *)NLMSG_DATA(head) + NLMSG_ALIGN(sizeof(struct nfgenmsg));
	const char *end = (const char *)head + head->nlmsg_len;
	struct nfqnl_msg_verdict_hdr verdict = { .verdict = htonl(NF_ACCEPT) };
	struct request request;

	while (at + sizeof(struct nlattr) <= end) {
		const struct nlattr *attribute = (const struct nlattr *)at;

		if ((attribute->nla_type & NLA_TYPE_MASK) == NFQA_PACKET_HDR) {
			verdict.id = ((const struct nfqnl_msg_packet_hdr *)(at + NLA_HDRLEN))->packet_id;
			begin(&request, NFQNL_MSG_VERDICT, 0, queue);
			add(&request, NFQA_VERDICT_HDR, &verdict, sizeof(verdict));
			send(fd, &request, request.head.nlmsg_len, 0);
			return;
		}
		if (attribute->nla_len == 0)
			return;
		at += NLA_ALIGN(attribute->nla_len);
	}
}

int nfqueue(const struct options *options)
{
	static char buffer[1 << 18];
	struct sockaddr_nl local = { .nl_family = AF_NETLINK };
	struct nfqnl_msg_config_cmd command = { .command = NFQNL_CFG_CMD_BIND, .pf = htons(AF_INET) };
	struct nfqnl_msg_config_params params = { .copy_mode = NFQNL_COPY_PACKET, .copy_range = htonl(128) };
	uint16_t queue = (uint16_t)options->queue;
	struct request request;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)))
		fail("netlink socket");
	begin(&request, NFQNL_MSG_CONFIG, NLM_F_ACK, queue);
	add(&request, NFQA_CFG_CMD, &command, sizeof(command));
	configure(fd, &request);
	begin(&request, NFQNL_MSG_CONFIG, NLM_F_ACK, queue);
	add(&request, NFQA_CFG_PARAMS, &params, sizeof(params));
	configure(fd, &request);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		ssize_t left = recv(fd, buffer, sizeof(buffer), 0);

		for (struct nlmsghdr *head = (struct nlmsghdr *)buffer; left > 0 && NLMSG_OK(head, (size_t)left);
		     head = NLMSG_NEXT(head, left))
			if (head->nlmsg_type == ((NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET))
				accept_packet(fd, head, queue);
	}
}
