/* stream: as much as goes through, over one or more connections. */
#include "traffic.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK (128 << 10)
#define MAX_PARALLEL 64

struct sender {
	pthread_t thread;
	int fd;
	uint64_t end;
	uint64_t bytes;
};

static char chunk[CHUNK];

static void *send_until(void *argument)
{
	struct sender *sender = argument;

	while (now_ns() < sender->end) {
		ssize_t sent = send(sender->fd, chunk, sizeof(chunk), MSG_NOSIGNAL);

		if (sent < 0)
			break;
		sender->bytes += (uint64_t)sent;
	}
	return NULL;
}

int stream(const struct options *options)
{
	struct sender senders[MAX_PARALLEL] = { 0 };
	uint64_t parallel = options->parallel < 1 ? 1 : options->parallel, start, elapsed, bytes = 0;

	if (parallel > MAX_PARALLEL)
		usage("--parallel is at most 64");
	for (uint64_t i = 0; i < parallel; i++) {
		int error = 0;

		senders[i].fd = connect_within(options, SOCK_STREAM, &error);
		if (senders[i].fd < 0) {
			errno = error;
			fail("connect");
		}
	}
	start = now_ns();
	for (uint64_t i = 0; i < parallel; i++) {
		senders[i].end = start + options->duration_ms * 1000000;
		if (pthread_create(&senders[i].thread, NULL, send_until, &senders[i]))
			fail("pthread_create");
	}
	for (uint64_t i = 0; i < parallel; i++) {
		pthread_join(senders[i].thread, NULL);
		bytes += senders[i].bytes;
		close(senders[i].fd);
	}
	elapsed = now_ns() - start;
	printf("{\"bytes\":%" PRIu64 ",\"elapsedNs\":%" PRIu64 ",\"bitsPerSecond\":%.0f}\n", bytes, elapsed,
	       (double)bytes * 8e9 / (double)elapsed);
	return STATUS_OK;
}
