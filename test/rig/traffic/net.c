#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void fail(const char *what)
{
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	exit(STATUS_ERROR);
}

void usage(const char *what)
{
	fprintf(stderr, "traffic: %s\n", what);
	exit(STATUS_USAGE);
}

struct target make_target(const char *address, uint16_t port)
{
	struct target target = { 0 };
	struct sockaddr_in *four = (struct sockaddr_in *)&target.address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&target.address;

	if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		target.length = sizeof(*four);
	} else if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(port);
		target.length = sizeof(*six);
	} else {
		usage("--address is not an IP address");
	}
	return target;
}

int open_socket(const struct options *options, int type)
{
	struct target peer = make_target(options->address, options->port);
	int fd = socket(peer.address.ss_family, type | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		fail("socket");
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (options->bind || options->source_port) {
		const char *any = peer.address.ss_family == AF_INET ? "0.0.0.0" : "::";
		struct target local = make_target(options->bind ? options->bind : any, options->source_port);

		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(fd, (struct sockaddr *)&local.address, local.length))
			fail("bind");
	}
	return fd;
}

/* SO_SNDTIMEO bounds connect() too. */
static void set_timeouts(int fd, uint64_t milliseconds)
{
	struct timeval time = { .tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000 };

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
}

int connect_within(const struct options *options, int type, int *error)
{
	struct target peer = make_target(options->address, options->port);
	int fd = open_socket(options, type);

	set_timeouts(fd, options->timeout_ms);
	if (connect(fd, (struct sockaddr *)&peer.address, peer.length) == 0)
		return fd;
	*error = errno == EINPROGRESS || errno == EAGAIN ? ETIMEDOUT : errno;
	close(fd);
	return -1;
}

bool send_all(int fd, const void *data, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		data = (const char *)data + sent;
		size -= (size_t)sent;
	}
	return true;
}

bool receive_all(int fd, void *data, size_t size)
{
	while (size > 0) {
		ssize_t received = recv(fd, data, size, 0);

		if (received == 0)
			errno = ECONNRESET;
		if (received <= 0)
			return false;
		data = (char *)data + received;
		size -= (size_t)received;
	}
	return true;
}

enum status status_of(int error)
{
	switch (error) {
	case 0:
		return STATUS_OK;
	case ECONNREFUSED:
	case ECONNRESET:
		return STATUS_REFUSED;
	case ETIMEDOUT:
	case EAGAIN:
	case EINPROGRESS:
		return STATUS_TIMEOUT;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case EACCES:
	case EPERM:
		return STATUS_UNREACHABLE;
	default:
		return STATUS_ERROR;
	}
}

const char *status_name(enum status status)
{
	switch (status) {
	case STATUS_OK:
		return "ok";
	case STATUS_REFUSED:
		return "refused";
	case STATUS_TIMEOUT:
		return "timeout";
	case STATUS_UNREACHABLE:
		return "unreachable";
	default:
		return "error";
	}
}
