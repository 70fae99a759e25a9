/*
 * link: a wire between two interfaces that loses, doubles, reorders and delays frames, by a seed: the same frames meet
 * the same faults. What a link itself needs (ARP, neighbour and multicast-listener discovery) meets none, and takes
 * nothing from the sequence of random numbers. Frames are taken with their checksum and segmentation still to be done
 * (virtio_net_hdr), as a veth hands them over.
 *
 * Lines on standard input, each answered with one line:
 *   set DIRECTION LOSS DOUBLE REORDER DELAY JITTER PROTOCOL PORT PAYLOAD CUT   shares in millionths, times in microseconds
 *   counts
 * DIRECTION 0 is from --interface to --peer. PROTOCOL and PORT: only what matches suffers; 0: everything. PAYLOAD 1: TCP
 * segments without any do not suffer. Ends with its input.
 */
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX (65535 + 64 + sizeof(struct virtio_net_hdr))
#define PENDING_MAX 32768         /* frames on the wire; more are lost */
#define HELD_BACK_NS 20000000ull  /* a frame that nothing overtakes goes on after this */
#define BATCH 64

struct frame {
	uint64_t due;
	uint64_t number; /* of those with the same due time the lower goes first */
	int direction;
	size_t size;
	char bytes[];
};

struct direction {
	int from, to; /* sockets */
	uint64_t state;
	uint32_t loss, duplicate, reorder; /* millionths */
	uint64_t delay_ns, jitter_ns;
	unsigned protocol, port;
	bool payload; /* only what has some */
	bool cut;
	struct frame *held; /* to be overtaken */
	uint64_t passed, lost, doubled, reordered;
};

static struct direction directions[2];
static struct frame *pending[PENDING_MAX]; /* a heap: the first is due first */
static size_t pending_count;
static uint64_t frames_made;

static uint64_t draw(struct direction *d) /* splitmix64 */
{
	uint64_t z = (d->state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static bool chance(uint64_t drawn, uint32_t millionths)
{
	return drawn % 1000000 < millionths;
}

static bool before(const struct frame *a, const struct frame *b)
{
	return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static void push(struct direction *d, struct frame *frame, uint64_t due)
{
	size_t at = pending_count;

	if (pending_count == PENDING_MAX) {
		d->lost++;
		free(frame);
		return;
	}
	frame->due = due;
	frame->number = ++frames_made;
	pending_count++;
	while (at > 0 && before(frame, pending[(at - 1) / 2])) {
		pending[at] = pending[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	pending[at] = frame;
}

static struct frame *pop(void)
{
	struct frame *first = pending[0], *last = pending[--pending_count];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < pending_count) {
		if (child + 1 < pending_count && before(pending[child + 1], pending[child]))
			child++;
		if (!before(pending[child], last))
			break;
		pending[at] = pending[child];
		at = child;
	}
	pending[at] = last;
	return first;
}

static void send_due(uint64_t now)
{
	while (pending_count && pending[0]->due <= now) {
		struct frame *frame = pop();
		struct direction *d = &directions[frame->direction];

		if (send(d->to, frame->bytes, frame->size, 0) == (ssize_t)frame->size)
			d->passed++;
		else
			d->lost++; /* the other interface is down, or full */
		free(frame);
	}
}

static unsigned be16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static bool is_discovery(unsigned type)
{
	return (type >= 130 && type <= 137) || type == 143;
}

/* Whether a frame meets faults. */
static bool suffers(const struct direction *d, const uint8_t *frame, size_t size)
{
	unsigned type = size >= 14 ? be16(frame + 12) : 0, protocol = 0;
	size_t at = 14;

	if (type == ETH_P_ARP)
		return false;
	if (type == ETH_P_IP && size >= 34) {
		protocol = frame[23];
		at += (frame[14] & 15u) * 4;
		if (be16(frame + 20) & 0x1fff)
			at = size; /* a later fragment has no ports */
	} else if (type == ETH_P_IPV6 && size >= 54) {
		protocol = frame[20];
		at += 40;
		if (protocol == IPPROTO_HOPOPTS && size >= at + 8) {
			protocol = frame[at];
			at += (frame[at + 1] + 1u) * 8;
		}
		if (protocol == IPPROTO_ICMPV6 && size > at && is_discovery(frame[at]))
			return false;
	}
	if (d->protocol && d->protocol != protocol)
		return false;
	/* What a veth hands over is not padded. */
	if (d->payload && protocol == IPPROTO_TCP && size >= at + 20 && at + (frame[at + 12] >> 4) * 4u >= size)
		return false;
	return !d->port || (size >= at + 4 && (be16(frame + at) == d->port || be16(frame + at + 2) == d->port));
}

static struct frame *copy_frame(int direction, const char *bytes, size_t size)
{
	struct frame *frame = malloc(sizeof(*frame) + size);

	if (!frame)
		fail("malloc");
	frame->direction = direction;
	frame->size = size;
	memcpy(frame->bytes, bytes, size);
	return frame;
}

static void take(int number, const char *bytes, size_t size, uint64_t now)
{
	struct direction *d = &directions[number];
	const size_t head = sizeof(struct virtio_net_hdr);
	uint64_t draws[4], due;

	if (d->cut) {
		d->lost++;
		return;
	}
	if (size < head || !suffers(d, (const uint8_t *)bytes + head, size - head)) {
		push(d, copy_frame(number, bytes, size), now);
		return;
	}
	/* As many for each frame, whatever faults are set. */
	for (size_t i = 0; i < 4; i++)
		draws[i] = draw(d);
	if (chance(draws[0], d->loss)) {
		d->lost++;
		return;
	}
	due = now + d->delay_ns + (d->jitter_ns ? draws[3] % d->jitter_ns : 0);
	if (chance(draws[2], d->reorder) && !d->held) {
		d->held = copy_frame(number, bytes, size);
		d->held->due = due + HELD_BACK_NS;
		return;
	}
	push(d, copy_frame(number, bytes, size), due);
	if (chance(draws[1], d->duplicate)) {
		d->doubled++;
		push(d, copy_frame(number, bytes, size), due);
	}
	if (d->held) {
		d->reordered++;
		push(d, d->held, due);
		d->held = NULL;
	}
}

static void receive(int number, uint64_t now)
{
	static char buffer[FRAME_MAX];

	for (int i = 0; i < BATCH; i++) {
		ssize_t size = recv(directions[number].from, buffer, sizeof(buffer), MSG_DONTWAIT);

		if (size < 0)
			return; /* empty, or the interface is down: then nothing comes */
		take(number, buffer, (size_t)size, now);
	}
}

static void obey(char *line)
{
	unsigned long long v[10];

	if (!strcmp(line, "counts")) {
		printf("[");
		for (int i = 0; i < 2; i++)
			printf("%s{\"passed\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"doubled\":%" PRIu64 ",\"reordered\":%" PRIu64 "}",
			       i ? "," : "", directions[i].passed, directions[i].lost, directions[i].doubled, directions[i].reordered);
		printf("]\n");
	} else if (sscanf(line, "set %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4],
			  &v[5], &v[6], &v[7], &v[8], &v[9]) == 10 && v[0] < 2) {
		struct direction *d = &directions[v[0]];

		d->loss = (uint32_t)v[1];
		d->duplicate = (uint32_t)v[2];
		d->reorder = (uint32_t)v[3];
		d->delay_ns = v[4] * 1000;
		d->jitter_ns = v[5] * 1000;
		d->protocol = (unsigned)v[6];
		d->port = (unsigned)v[7];
		d->payload = v[8] != 0;
		d->cut = v[9] != 0;
		printf("ok\n");
	} else {
		printf("what?\n");
	}
	fflush(stdout);
}

/* False: the input has ended. */
static bool read_commands(void)
{
	static char text[4096];
	static size_t used;
	ssize_t got = read(STDIN_FILENO, text + used, sizeof(text) - 1 - used);
	char *end;

	if (got <= 0)
		return false;
	used += (size_t)got;
	text[used] = '\0';
	while ((end = strchr(text, '\n'))) {
		*end = '\0';
		obey(text);
		used -= (size_t)(end + 1 - text);
		memmove(text, end + 1, used + 1);
	}
	return used < sizeof(text) - 1;
}

static int open_side(const char *interface)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct packet_mreq promiscuous = { .mr_type = PACKET_MR_PROMISC };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1, room = 32 << 20;

	at.sll_ifindex = promiscuous.mr_ifindex = (int)if_nametoindex(interface);
	if (fd < 0 || !at.sll_ifindex)
		fail(interface);
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)))
		fail("packet socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)))
		fail(interface);
	return fd;
}

static uint64_t next_due(void)
{
	uint64_t due = pending_count ? pending[0]->due : UINT64_MAX;

	for (int i = 0; i < 2; i++)
		if (directions[i].held && directions[i].held->due < due)
			due = directions[i].held->due;
	return due;
}

static void release_held(uint64_t now)
{
	for (int i = 0; i < 2; i++) {
		struct direction *d = &directions[i];

		if (d->held && d->held->due <= now) {
			push(d, d->held, d->held->due);
			d->held = NULL;
		}
	}
}

int link_interfaces(const struct options *options)
{
	int left, right;

	if (!options->interface || !options->peer)
		usage("--interface and --peer are wanted");
	left = open_side(options->interface);
	right = open_side(options->peer);
	directions[0] = (struct direction){ .from = left, .to = right, .state = options->seed * 2 };
	directions[1] = (struct direction){ .from = right, .to = left, .state = options->seed * 2 + 1 };
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		struct pollfd fds[] = { { .fd = left, .events = POLLIN },
					{ .fd = right, .events = POLLIN },
					{ .fd = STDIN_FILENO, .events = POLLIN } };
		uint64_t due = next_due(), now = now_ns(), left_ns = due > now ? due - now : 0;
		struct timespec wait = { .tv_sec = (time_t)(left_ns / 1000000000), .tv_nsec = (long)(left_ns % 1000000000) };

		if (ppoll(fds, 3, due == UINT64_MAX ? NULL : &wait, NULL) < 0 && errno != EINTR)
			fail("ppoll");
		if (fds[2].revents && !read_commands())
			return STATUS_OK;
		now = now_ns();
		for (int i = 0; i < 2; i++)
			if (fds[i].revents)
				receive(i, now);
		release_held(now);
		send_due(now);
	}
}
