#include "deeds.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

union end {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
	struct sockaddr_storage storage;
};

static socklen_t read_end(char **arguments, union end *end)
{
	memset(end, 0, sizeof(*end));
	if (inet_pton(AF_INET, arguments[0], &end->four.sin_addr) == 1) {
		end->four.sin_family = AF_INET;
		end->four.sin_port = htons(atoi(arguments[1]));
		return sizeof(end->four);
	}
	if (inet_pton(AF_INET6, arguments[0], &end->six.sin6_addr) != 1)
		exit(64);
	end->six.sin6_family = AF_INET6;
	end->six.sin6_port = htons(atoi(arguments[1]));
	return sizeof(end->six);
}

static int socket_of(char **arguments)
{
	int fd = socket(atoi(arguments[0]), atoi(arguments[1]), atoi(arguments[2]));

	return fd < 0 ? errno : failed(close(fd));
}

/* A datagram socket with that type of address, connected. Nobody need be there. */
static int connect_datagram(char **arguments)
{
	union end end;
	socklen_t length = read_end(arguments, &end);
	int fd = socket(end.any.sa_family, SOCK_DGRAM, 0);

	return fd < 0 ? errno : failed(connect(fd, &end.any, length));
}

/* Nobody listens: the refusal of a peer shows that the kernel let it pass. */
static int connect_stream(char **arguments)
{
	union end end;
	socklen_t length = read_end(arguments, &end);
	int fd = socket(end.any.sa_family, SOCK_STREAM, 0);

	return fd < 0 ? errno : failed(connect(fd, &end.any, length));
}

static int send_unconnected(char **arguments)
{
	union end end;
	socklen_t length = read_end(arguments, &end);
	int fd = socket(end.any.sa_family, SOCK_DGRAM, 0);

	return fd < 0 ? errno : failed(sendto(fd, "x", 1, 0, &end.any, length));
}

/* The same without saying what family the address is of, which IPv4 sockets accept. */
static int send_unspecified(char **arguments)
{
	union end end;
	socklen_t length = read_end(arguments, &end);
	int fd = socket(end.any.sa_family, SOCK_DGRAM, 0);

	end.any.sa_family = AF_UNSPEC;
	return fd < 0 ? errno : failed(sendto(fd, "x", 1, 0, &end.any, length));
}

/* An IPv4 address on an IPv6 socket. */
static int send_four_over_six(char **arguments)
{
	union end end;
	socklen_t length = read_end(arguments, &end);
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	return fd < 0 ? errno : failed(sendto(fd, "x", 1, 0, &end.any, length));
}

/* The first message goes to a neighbour, the second to the address in question. */
static int send_many(char **arguments)
{
	union end neighbour = {}, end;
	socklen_t length = read_end(arguments, &end);
	struct iovec data = { "x", 1 };
	struct mmsghdr messages[2] = {};
	int fd, sent;

	neighbour.four = (struct sockaddr_in){ AF_INET, htons(9), { htonl(INADDR_LOOPBACK) }, {} };
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0)
		return errno;
	messages[0].msg_hdr = (struct msghdr){ &neighbour, sizeof(neighbour.four), &data, 1, NULL, 0, 0 };
	messages[1].msg_hdr = (struct msghdr){ &end, length, &data, 1, NULL, 0, 0 };
	sent = sendmmsg(fd, messages, 2, 0);
	if (sent == 2)
		return 0;
	if (sent < 1)
		return ENODATA;
	return failed(sendmsg(fd, &messages[1].msg_hdr, 0)) ?: ENODATA;
}

/* Connects by sending. */
static int send_fast_open(char **arguments)
{
	union end end;
	socklen_t length = read_end(arguments, &end);
	int fd = socket(end.any.sa_family, SOCK_STREAM, 0);

	return fd < 0 ? errno : failed(sendto(fd, "x", 1, MSG_FASTOPEN, &end.any, length));
}

/* What a socket was connected to is forgotten, and another address taken. */
static int connect_again(char **arguments)
{
	union end neighbour = {}, end, nowhere = {};
	socklen_t length = read_end(arguments, &end);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	neighbour.four = (struct sockaddr_in){ AF_INET, htons(9), { htonl(INADDR_LOOPBACK) }, {} };
	if (fd < 0 || connect(fd, &neighbour.any, sizeof(neighbour.four)))
		return ENODATA;
	if (connect(fd, &nowhere.any, sizeof(nowhere.any)))
		return ENODATA;
	return failed(connect(fd, &end.any, length));
}

/* A raw socket of a protocol, sending to the address. */
static int send_raw(char **arguments)
{
	union end end;
	socklen_t length = read_end(arguments, &end);
	int fd = socket(end.any.sa_family, SOCK_RAW, atoi(arguments[2]));

	end.four.sin_port = 0;
	return fd < 0 ? errno : failed(sendto(fd, "12345678", 8, 0, &end.any, length));
}

/* A packet for one address, handed to a socket for another; `how`: by sending, by a connection, or by an option. */
static int send_own_header(char **arguments)
{
	struct sockaddr_in near = { .sin_family = AF_INET };
	struct iphdr packet = { .ihl = 5, .version = 4, .ttl = 1, .protocol = 253 };
	char how = *arguments[2];
	int one = 1, fd = socket(AF_INET, SOCK_RAW, how == 'o' ? IPPROTO_ICMP : IPPROTO_RAW);

	if (inet_pton(AF_INET, arguments[0], &near.sin_addr) != 1 || inet_pton(AF_INET, arguments[1], &packet.daddr) != 1)
		exit(64);
	if (fd < 0 || (how != 's' && connect(fd, (struct sockaddr *)&near, sizeof(near))))
		return errno;
	if (how == 'o' && setsockopt(fd, IPPROTO_IP, IP_HDRINCL, &one, sizeof(one)))
		return errno;
	if (how != 's')
		return failed(send(fd, &packet, sizeof(packet), 0));
	return failed(sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&near, sizeof(near)));
}

const struct deed socket_deeds[] = {
	{ "socket", "FAMILY TYPE PROTOCOL", socket_of, 3 },
	{ "connect", "ADDRESS PORT", connect_stream, 2 },
	{ "connect-datagram", "ADDRESS PORT", connect_datagram, 2 },
	{ "connect-again", "ADDRESS PORT", connect_again, 2 },
	{ "send", "ADDRESS PORT", send_unconnected, 2 },
	{ "send-unspecified", "ADDRESS PORT", send_unspecified, 2 },
	{ "send-four-over-six", "ADDRESS PORT", send_four_over_six, 2 },
	{ "send-many", "ADDRESS PORT", send_many, 2 },
	{ "send-fast-open", "ADDRESS PORT", send_fast_open, 2 },
	{ "send-raw", "ADDRESS 0 PROTOCOL", send_raw, 3 },
	{ "send-own-header", "ADDRESS ADDRESS send|connect|option", send_own_header, 3 },
	{},
};
