#ifndef TRAFFIC_H
#define TRAFFIC_H

/* The parts of the traffic tool. Each subcommand takes its parsed options and returns the exit status. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#define MAX_PORTS 4096

/* Exit statuses of `connect` and the rest. */
enum status {
	STATUS_OK = 0,
	STATUS_REFUSED = 1,
	STATUS_TIMEOUT = 2,
	STATUS_UNREACHABLE = 3,
	STATUS_ERROR = 4,
	STATUS_USAGE = 64,
};

struct ports {
	uint16_t port[MAX_PORTS];
	size_t count;
};

struct options {
	const char *address;   /* where to, or what to listen on */
	const char *bind;      /* the local address; NULL: any */
	const char *interface; /* raw, sniff, link */
	const char *peer;      /* link: the other interface */
	uint16_t port;
	uint16_t source_port;  /* 0: the kernel chooses */
	bool udp;
	bool exchange;         /* connect: a byte must come back */
	uint64_t count;        /* operations, packets */
	uint64_t duration_ms;
	uint64_t timeout_ms;   /* of one operation */
	uint64_t interval_ms;  /* hold-open */
	uint64_t size;         /* bytes of one message */
	uint64_t rate;         /* packets per second; 0: as fast as can be */
	uint64_t parallel;
	uint64_t queue;
	uint64_t seed;         /* link */
	struct ports tcp_echo, tcp_once, tcp_sink, udp_echo;
};

int serve(const struct options *options);
int crr(const struct options *options);
int rr(const struct options *options);
int stream(const struct options *options);
int udp_send(const struct options *options);
int udp_recv(const struct options *options);
int connect_once(const struct options *options);
int hold_open(const struct options *options);
int probe(const struct options *options);
int first(const struct options *options);
int syn(const struct options *options);
int raw(const struct options *options);
int sniff(const struct options *options);
int nfqueue(const struct options *options);
int link_interfaces(const struct options *options);

/* net.c */
struct target {
	struct sockaddr_storage address;
	socklen_t length;
};
uint64_t now_ns(void);
_Noreturn void fail(const char *what);
_Noreturn void usage(const char *what);
struct target make_target(const char *address, uint16_t port);
int open_socket(const struct options *options, int type);
int connect_within(const struct options *options, int type, int *error); /* the socket, or -1 */
bool send_all(int fd, const void *data, size_t size);
bool receive_all(int fd, void *data, size_t size);
enum status status_of(int error);
const char *status_name(enum status status);

/* sample.c: latencies */
struct samples {
	uint64_t *values;
	size_t count, capacity;
};
struct samples samples_new(size_t capacity);
void samples_add(struct samples *samples, uint64_t value);
void samples_print(struct samples *samples, uint64_t operations, uint64_t errors, uint64_t elapsed_ns);

#endif
