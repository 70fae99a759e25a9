/* crr, rr, connect, hold-open: a message goes, and comes back. */
#include "traffic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_MESSAGE 65536
#define MAX_SAMPLES (4u << 20)

static char message[MAX_MESSAGE], answer[MAX_MESSAGE];

static size_t message_size(const struct options *options)
{
	return options->size < 1 || options->size > MAX_MESSAGE ? 1 : options->size;
}

/* Exchanges one message, on a stream or a datagram socket. */
static bool exchange(const struct options *options, int fd)
{
	size_t size = message_size(options);

	if (!options->udp)
		return send_all(fd, message, size) && receive_all(fd, answer, size);
	return send(fd, message, size, 0) == (ssize_t)size && recv(fd, answer, size, 0) == (ssize_t)size;
}

static bool more(const struct options *options, uint64_t done, uint64_t end)
{
	return (options->count == 0 || done < options->count) && now_ns() < end;
}

/* Connects, exchanges one message, waits for the server to close. Latency is up to the answer. */
int crr(const struct options *options)
{
	struct samples samples = samples_new(MAX_SAMPLES);
	uint64_t start = now_ns(), end = start + options->duration_ms * 1000000, done = 0, errors = 0;

	while (more(options, done + errors, end)) {
		uint64_t began = now_ns();
		int error = 0, fd = connect_within(options, SOCK_STREAM, &error);

		if (fd < 0) {
			errors++;
			continue;
		}
		if (exchange(options, fd)) {
			samples_add(&samples, now_ns() - began);
			done++;
			while (recv(fd, answer, sizeof(answer), 0) > 0)
				;
		} else {
			errors++;
		}
		close(fd);
	}
	samples_print(&samples, done, errors, now_ns() - start);
	return STATUS_OK;
}

/* Exchanges messages on one connection. */
int rr(const struct options *options)
{
	struct samples samples = samples_new(MAX_SAMPLES);
	uint64_t start, end, done = 0, errors = 0;
	int error = 0, fd = connect_within(options, options->udp ? SOCK_DGRAM : SOCK_STREAM, &error);

	if (fd < 0) {
		errno = error;
		fail("connect");
	}
	start = now_ns();
	end = start + options->duration_ms * 1000000;
	while (more(options, done + errors, end)) {
		uint64_t began = now_ns();

		if (exchange(options, fd)) {
			samples_add(&samples, now_ns() - began);
			done++;
		} else {
			errors++;
			if (!options->udp)
				break;
		}
	}
	samples_print(&samples, done, errors, now_ns() - start);
	return STATUS_OK;
}

/* One attempt. Its status is the exit status. */
int connect_once(const struct options *options)
{
	uint64_t began = now_ns();
	int error = 0, fd = connect_within(options, options->udp ? SOCK_DGRAM : SOCK_STREAM, &error);
	enum status status;

	if (fd >= 0) {
		if ((options->udp || options->exchange) && !exchange(options, fd))
			error = errno;
		close(fd);
	}
	status = status_of(error);
	printf("{\"result\":\"%s\",\"error\":\"%s\",\"elapsedNs\":%" PRIu64 "}\n", status_name(status),
	       error ? strerrorname_np(error) : "", now_ns() - began);
	return status;
}

/* Keeps one conversation and reports when, how and for how long it was cut. */
int hold_open(const struct options *options)
{
	uint64_t start = now_ns(), end = start + options->duration_ms * 1000000;
	uint64_t done = 0, lost = 0, gap = 0, last, cut = 0;
	struct timespec pause = { .tv_sec = options->interval_ms / 1000, .tv_nsec = options->interval_ms % 1000 * 1000000 };
	int error = 0, fd = connect_within(options, options->udp ? SOCK_DGRAM : SOCK_STREAM, &error);

	if (fd < 0 || !exchange(options, fd)) {
		errno = error ? error : errno;
		fail("connect");
	}
	printf("ready\n");
	fflush(stdout);
	last = now_ns();
	error = 0;
	while (more(options, done + lost, end)) {
		uint64_t now;

		nanosleep(&pause, NULL);
		if (exchange(options, fd)) {
			now = now_ns();
			done++;
			if (now - last > gap)
				gap = now - last;
			last = now;
			continue;
		}
		lost++;
		error = errno;
		if (!cut)
			cut = last - start;
		if (!options->udp)
			break; /* an answer may still be on its way: what follows could not be told apart */
	}
	printf("{\"exchanges\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"maxGapNs\":%" PRIu64 ",\"cutAtNs\":", done, lost, gap);
	if (cut)
		printf("%" PRIu64, cut);
	else
		printf("null");
	printf(",\"result\":\"%s\"}\n", status_name(status_of(error)));
	return status_of(error);
}
