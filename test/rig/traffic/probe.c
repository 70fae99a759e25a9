/*
 * probe: numbered datagrams to an echo server at a steady rate, to learn when traffic began or ceased to pass. Times
 * are CLOCK_MONOTONIC, which the whole machine shares, of the sending of the first datagram that fared differently.
 * SIGTERM ends it early.
 */
#include "traffic.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROBES (1u << 22)

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static void receive_answers(int fd, bool *answered, uint64_t sent)
{
	uint64_t sequence;

	while (recv(fd, &sequence, sizeof(sequence), MSG_DONTWAIT) == sizeof(sequence))
		if (sequence < sent)
			answered[sequence] = true;
}

static void sleep_until(uint64_t when)
{
	struct timespec time = { .tv_sec = (time_t)(when / 1000000000), .tv_nsec = (long)(when % 1000000000) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

int probe(const struct options *options)
{
	uint64_t *times = calloc(MAX_PROBES, sizeof(uint64_t)), sent = 0, start, step;
	bool *answered = calloc(MAX_PROBES, sizeof(bool));
	int error = 0, fd = connect_within(options, SOCK_DGRAM, &error);

	if (fd < 0 || !times || !answered) {
		errno = error ? error : ENOMEM;
		fail("connect");
	}
	signal(SIGTERM, stop);
	step = 1000000000 / (options->rate ? options->rate : 1000);
	printf("ready\n");
	fflush(stdout);
	start = now_ns();
	while (!stopped && now_ns() < start + options->duration_ms * 1000000 && sent < MAX_PROBES) {
		sleep_until(start + sent * step);
		times[sent] = now_ns();
		if (send(fd, &sent, sizeof(sent), 0) == sizeof(sent) || errno != EINTR)
			sent++;
		receive_answers(fd, answered, sent);
	}
	sleep_until(now_ns() + options->timeout_ms * 1000000);
	receive_answers(fd, answered, sent);
	printf("{\"sent\":%" PRIu64 ",\"changes\":[", sent);
	for (uint64_t i = 0, changes = 0; i < sent && changes < 4096; i++) {
		if (i > 0 && answered[i] == answered[i - 1])
			continue;
		printf("%s{\"atNs\":%" PRIu64 ",\"passes\":%s}", changes++ ? "," : "", times[i], answered[i] ? "true" : "false");
	}
	printf("]}\n");
	free(times);
	free(answered);
	return STATUS_OK;
}
