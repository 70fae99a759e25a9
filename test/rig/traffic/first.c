/*
 * first: conversations that each begin with a datagram, from ports counted up, at a steady rate. Each sends one more when
 * the first has been answered, which tells what a round trip takes once the way is known. --parallel bounds how many
 * wait for their first answer at one time. syn: half of a connection.
 */
#include "traffic.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONVERSATIONS 65535

struct conversation {
	uint64_t sent, first, second; /* when; how long the answers took, 0: none came */
	int fd;
};

static struct conversation conversations[MAX_CONVERSATIONS];

static void allow_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static void set_port(struct target *target, uint16_t port)
{
	/* The same place in both families. */
	((struct sockaddr_in *)&target->address)->sin_port = htons(port);
}

static int bound_socket(const struct options *options, const struct target *peer, int type, uint64_t i)
{
	const char *any = peer->address.ss_family == AF_INET ? "0.0.0.0" : "::";
	struct target local = make_target(options->bind ? options->bind : any, 0);
	int on = 1, fd = socket(peer->address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	set_port(&local, options->source_port ? (uint16_t)(options->source_port + i) : 0);
	if (bind(fd, (struct sockaddr *)&local.address, local.length))
		fail("bind");
	return fd;
}

static void begin(const struct options *options, const struct target *peer, int poller, uint64_t i)
{
	struct conversation *one = &conversations[i];
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = i };

	one->fd = bound_socket(options, peer, SOCK_DGRAM, i);
	if (connect(one->fd, (struct sockaddr *)&peer->address, peer->length) ||
	    epoll_ctl(poller, EPOLL_CTL_ADD, one->fd, &event))
		fail("connect");
	one->sent = now_ns();
	/* What cannot be sent is lost. */
	(void)!send(one->fd, &i, sizeof(i), 0);
}

enum step { STEP_NONE, STEP_FIRST, STEP_SECOND };

/* Which answer has come. */
static enum step go_on(struct conversation *one, uint64_t i)
{
	uint64_t answer, now;

	if (recv(one->fd, &answer, sizeof(answer), 0) != sizeof(answer) || answer != i)
		return STEP_NONE; /* an ICMP error, perhaps; or not ours */
	now = now_ns();
	if (!one->first) {
		one->first = now - one->sent;
		one->sent = now_ns();
		(void)!send(one->fd, &i, sizeof(i), 0);
		return STEP_FIRST;
	}
	one->second = now - one->sent;
	close(one->fd);
	return STEP_SECOND;
}

static void print_samples(const char *name, uint64_t count, bool second)
{
	const char *between = "";

	printf("\"%s\":[", name);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t value = second ? conversations[i].second : conversations[i].first;

		if (value) {
			printf("%s%" PRIu64, between, value);
			between = ",";
		}
	}
	printf("]");
}

int first(const struct options *options)
{
	struct target peer = make_target(options->address, options->port);
	uint64_t count = options->count ? options->count : 1000, rate = options->rate ? options->rate : 1000;
	uint64_t start, end, begun = 0, waiting = 0, ended = 0, elapsed;
	uint64_t most = options->parallel ? options->parallel : count;
	int poller = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[64];

	if (count > MAX_CONVERSATIONS || options->source_port + count > 65536)
		usage("there are not that many ports");
	allow_files();
	start = now_ns();
	end = start + count * 1000000000 / rate + options->timeout_ms * 1000000;
	while (ended < count && now_ns() < end) {
		uint64_t due = (now_ns() - start) * rate / 1000000000 + 1, next, now;
		struct timespec wait = { 0 };
		int ready;

		for (; begun < due && begun < count && waiting < most; waiting++)
			begin(options, &peer, poller, begun++);
		next = begun < count && waiting < most ? start + begun * 1000000000 / rate : end;
		now = now_ns();
		if (next > now)
			wait = (struct timespec){ .tv_sec = (time_t)((next - now) / 1000000000), .tv_nsec = (long)((next - now) % 1000000000) };
		ready = epoll_pwait2(poller, events, 64, &wait, NULL);
		for (int i = 0; i < ready; i++) {
			enum step step = go_on(&conversations[events[i].data.u64], events[i].data.u64);

			waiting -= step == STEP_FIRST;
			ended += step == STEP_SECOND;
		}
	}
	elapsed = now_ns() - start;
	printf("{\"sent\":%" PRIu64 ",\"elapsedNs\":%" PRIu64 ",", begun, elapsed);
	print_samples("firstNs", count, false);
	printf(",");
	print_samples("secondNs", count, true);
	printf("}\n");
	return STATUS_OK;
}

int syn(const struct options *options)
{
	struct target peer = make_target(options->address, options->port);
	uint64_t start = now_ns(), count = options->count ? options->count : 1000, sent = 0;

	/* Closed before it is answered, it says nothing more. */
	for (; sent < count; sent++) {
		int fd = bound_socket(options, &peer, SOCK_STREAM, sent % 20000);

		if (connect(fd, (struct sockaddr *)&peer.address, peer.length) && errno != EINPROGRESS)
			fail("connect");
		close(fd);
	}
	printf("{\"sent\":%" PRIu64 ",\"refused\":0,\"elapsedNs\":%" PRIu64 ",\"perSecond\":%.1f}\n", sent, now_ns() - start,
	       (double)sent * 1e9 / (double)(now_ns() - start));
	return STATUS_OK;
}
