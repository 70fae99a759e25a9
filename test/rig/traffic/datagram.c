/* udp-send, udp-recv: numbered datagrams, so that what is lost, doubled or out of order is known. */
#include "traffic.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define MAX_SIZE 1472
#define MAX_SEQUENCE (1ull << 28) /* 32 MiB of bits */

static char payloads[BATCH][MAX_SIZE];

static void prepare(struct mmsghdr *headers, struct iovec *vectors, size_t size)
{
	memset(headers, 0, sizeof(*headers) * BATCH);
	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ .iov_base = payloads[i], .iov_len = size };
		headers[i].msg_hdr.msg_iov = &vectors[i];
		headers[i].msg_hdr.msg_iovlen = 1;
	}
}

int udp_send(const struct options *options)
{
	struct mmsghdr headers[BATCH];
	struct iovec vectors[BATCH];
	size_t size = options->size < 8 ? 8 : options->size > MAX_SIZE ? MAX_SIZE : options->size;
	uint64_t start = now_ns(), end = start + options->duration_ms * 1000000, sent = 0, refused = 0, elapsed;
	int error = 0, fd = connect_within(options, SOCK_DGRAM, &error);

	if (fd < 0) {
		errno = error;
		fail("connect");
	}
	prepare(headers, vectors, size);
	while (now_ns() < end && (options->count == 0 || sent < options->count)) {
		uint64_t batch = BATCH;
		int done;

		if (options->rate) {
			uint64_t due = (now_ns() - start) * options->rate / 1000000000 + 1;

			if (sent >= due) {
				nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
				continue;
			}
			batch = due - sent < BATCH ? due - sent : BATCH;
		}
		if (options->count && options->count - sent < batch)
			batch = options->count - sent;
		for (uint64_t i = 0; i < batch; i++)
			memcpy(payloads[i], &(uint64_t){ sent + i }, 8);
		done = sendmmsg(fd, headers, (unsigned)batch, 0);
		if (done > 0)
			sent += (uint64_t)done;
		else
			refused++; /* an ICMP error, or no buffer: the same numbers go again */
	}
	elapsed = now_ns() - start;
	printf("{\"sent\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"elapsedNs\":%" PRIu64 ",\"perSecond\":%.1f}\n", sent, refused,
	       elapsed, elapsed ? (double)sent * 1e9 / (double)elapsed : 0);
	return STATUS_OK;
}

int udp_recv(const struct options *options)
{
	struct mmsghdr headers[BATCH];
	struct iovec vectors[BATCH];
	struct target local = make_target(options->address ? options->address : "::", options->port);
	struct timeval wait = { .tv_usec = 50000 };
	uint8_t *seen = calloc(1, MAX_SEQUENCE / 8);
	uint64_t end, received = 0, duplicates = 0, reordered = 0, highest = 0, first = 0, last = 0;
	int fd = socket(local.address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = 8 << 20, off = 0;

	if (fd < 0 || !seen)
		fail("socket");
	if (local.address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (bind(fd, (struct sockaddr *)&local.address, local.length))
		fail("bind");
	prepare(headers, vectors, MAX_SIZE);
	printf("ready\n");
	fflush(stdout);
	end = now_ns() + options->duration_ms * 1000000;
	while (now_ns() < end && (options->count == 0 || received < options->count)) {
		int count = recvmmsg(fd, headers, BATCH, MSG_WAITFORONE, NULL);

		if (count <= 0)
			continue;
		last = now_ns();
		if (!first)
			first = last;
		for (int i = 0; i < count; i++) {
			uint64_t sequence;

			memcpy(&sequence, payloads[i], 8);
			if (headers[i].msg_len < 8 || sequence >= MAX_SEQUENCE)
				continue;
			received++;
			if (seen[sequence / 8] & (1 << sequence % 8))
				duplicates++;
			seen[sequence / 8] |= (uint8_t)(1 << sequence % 8);
			if (sequence < highest)
				reordered++;
			else
				highest = sequence;
		}
	}
	printf("{\"received\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"reordered\":%" PRIu64
	       ",\"elapsedNs\":%" PRIu64 ",\"perSecond\":%.1f}\n",
	       received, received ? highest + 1 - (received - duplicates) : 0, duplicates, reordered, last - first,
	       last > first ? (double)received * 1e9 / (double)(last - first) : 0);
	free(seen);
	return STATUS_OK;
}
