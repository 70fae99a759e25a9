/*
 * raw: sends packets as they are. Lines of hexadecimal on standard input: with --interface whole Ethernet frames
 * through a packet socket, else IP packets through a raw socket. sniff: prints the frames an interface receives.
 */
#include "traffic.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define MAX_PACKET 65536

static size_t decode(const char *line, uint8_t *bytes)
{
	size_t size = 0;

	while (isxdigit((unsigned char)line[0]) && isxdigit((unsigned char)line[1]) && size < MAX_PACKET) {
		unsigned value;

		sscanf(line, "%2x", &value);
		bytes[size++] = (uint8_t)value;
		line += 2;
	}
	return size;
}

static int packet_socket(const struct options *options)
{
	struct sockaddr_ll link = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(options->interface),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));

	if (link.sll_ifindex == 0)
		fail(options->interface);
	if (fd < 0 || bind(fd, (struct sockaddr *)&link, sizeof(link)))
		fail("packet socket");
	return fd;
}

static ssize_t send_ip(int four, int six, const uint8_t *packet, size_t size)
{
	struct sockaddr_in to4 = { .sin_family = AF_INET };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6 };

	if (size >= 20 && packet[0] >> 4 == 4) {
		memcpy(&to4.sin_addr, packet + 16, 4);
		return sendto(four, packet, size, 0, (struct sockaddr *)&to4, sizeof(to4));
	}
	if (size >= 40) {
		memcpy(&to6.sin6_addr, packet + 24, 16);
		return sendto(six, packet, size, 0, (struct sockaddr *)&to6, sizeof(to6));
	}
	errno = EINVAL;
	return -1;
}

int raw(const struct options *options)
{
	static char line[2 * MAX_PACKET + 2];
	static uint8_t packet[MAX_PACKET];
	int link = options->interface ? packet_socket(options) : -1;
	int four = link < 0 ? socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW) : -1;
	int six = link < 0 ? socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW) : -1;
	uint64_t sent = 0, refused = 0;

	if (link < 0 && (four < 0 || six < 0))
		fail("raw socket");
	while (fgets(line, sizeof(line), stdin)) {
		size_t size = decode(line, packet);

		for (uint64_t i = 0; i < (options->count ? options->count : 1); i++) {
			ssize_t done = link >= 0 ? send(link, packet, size, 0) : send_ip(four, six, packet, size);

			if (done == (ssize_t)size)
				sent++;
			else
				refused++;
		}
	}
	printf("{\"sent\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n", sent, refused);
	return STATUS_OK;
}

int sniff(const struct options *options)
{
	static uint8_t packet[MAX_PACKET];
	uint64_t end = now_ns() + options->duration_ms * 1000000, seen = 0;
	int fd;

	if (!options->interface)
		usage("sniff wants --interface");
	fd = packet_socket(options);
	printf("ready\n");
	fflush(stdout);
	while (now_ns() < end && (options->count == 0 || seen < options->count)) {
		struct sockaddr_ll from;
		socklen_t length = sizeof(from);
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		ssize_t size;

		if (poll(&wait, 1, 20) <= 0)
			continue;
		size = recvfrom(fd, packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&from, &length);
		if (size <= 0 || from.sll_pkttype == PACKET_OUTGOING)
			continue;
		for (ssize_t i = 0; i < size; i++)
			printf("%02x", packet[i]);
		printf("\n");
		fflush(stdout);
		seen++;
	}
	return STATUS_OK;
}
