/*
 * probe: numbered datagrams to an echo server at a steady rate, to learn when traffic began or ceased to pass. Says so
 * at once, one line of JSON a change, the first being how it began. Times are CLOCK_MONOTONIC, which the whole machine
 * shares, of the sending of the first datagram that fared differently. A datagram is lost when neither it nor a later
 * one is answered within --timeout. SIGTERM ends it.
 */
#include "traffic.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROBES (1u << 22)

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static void sleep_until(uint64_t when)
{
	struct timespec time = { .tv_sec = (time_t)(when / 1000000000), .tv_nsec = (long)(when % 1000000000) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static void say(uint64_t when, bool passes)
{
	printf("{\"atNs\":%" PRIu64 ",\"passes\":%s}\n", when, passes ? "true" : "false");
	fflush(stdout);
}

int probe(const struct options *options)
{
	enum { UNKNOWN, PASSES, CEASED } state = UNKNOWN;
	uint64_t *times = calloc(MAX_PROBES, sizeof(uint64_t)), sent = 0, waiting = 0, start, step, sequence;
	int error = 0, fd = connect_within(options, SOCK_DGRAM, &error);

	if (fd < 0 || !times) {
		errno = error ? error : ENOMEM;
		fail("connect");
	}
	signal(SIGTERM, stop);
	step = 1000000000 / (options->rate ? options->rate : 1000);
	start = now_ns();
	while (!stopped && now_ns() < start + options->duration_ms * 1000000 && sent < MAX_PROBES) {
		sleep_until(start + sent * step);
		times[sent] = now_ns();
		if (send(fd, &sent, sizeof(sent), 0) == sizeof(sent) || errno != EINTR)
			sent++;
		/* `waiting`: the first one after the last that was answered. */
		while (recv(fd, &sequence, sizeof(sequence), MSG_DONTWAIT) == sizeof(sequence)) {
			if (sequence < waiting || sequence >= sent)
				continue;
			if (state != PASSES)
				say(times[sequence], true);
			state = PASSES;
			waiting = sequence + 1;
		}
		if (state != CEASED && waiting < sent && now_ns() - times[waiting] > options->timeout_ms * 1000000) {
			say(times[waiting], false);
			state = CEASED;
		}
	}
	free(times);
	return STATUS_OK;
}
