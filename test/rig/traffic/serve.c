/*
 * serve: one epoll loop for any number of ports. `--tcp` echoes, `--tcp-once` answers the first bytes and closes
 * (so that TIME_WAIT stays on this side and a client may connect for ever), `--tcp-sink` swallows, `--udp` echoes.
 */
#include "traffic.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum role { ROLE_LISTENER, ROLE_ECHO, ROLE_ONCE, ROLE_SINK, ROLE_UDP };

struct handle {
	int fd;
	enum role role;
	enum role accepted; /* of a listener: the role of its connections */
};

static char buffer[1 << 18];
static int poller;

static void watch(int fd, enum role role, enum role accepted)
{
	struct handle *handle = malloc(sizeof(*handle));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = handle };

	if (!handle)
		fail("malloc");
	*handle = (struct handle){ .fd = fd, .role = role, .accepted = accepted };
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event))
		fail("epoll_ctl");
}

static void open_ports(const struct options *options, const struct ports *ports, int type, enum role role)
{
	for (size_t i = 0; i < ports->count; i++) {
		struct target local = make_target(options->address ? options->address : "::", ports->port[i]);
		int fd = socket(local.address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		int on = 1, off = 0;

		if (fd < 0)
			fail("socket");
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (local.address.ss_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		if (bind(fd, (struct sockaddr *)&local.address, local.length))
			fail("bind");
		if (type == SOCK_STREAM && listen(fd, 4096))
			fail("listen");
		watch(fd, type == SOCK_STREAM ? ROLE_LISTENER : ROLE_UDP, role);
	}
}

static void accept_all(const struct handle *listener)
{
	int on = 1, fd;

	while ((fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		watch(fd, listener->accepted, 0);
	}
}

static void drop(struct handle *handle)
{
	close(handle->fd);
	free(handle);
}

static void handle_stream(struct handle *handle)
{
	ssize_t size = recv(handle->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0) {
		drop(handle);
		return;
	}
	if (handle->role == ROLE_SINK)
		return;
	/* Blocking: messages are small, and a client that does not read holds up only tests. */
	if (!send_all(handle->fd, buffer, (size_t)size) || handle->role == ROLE_ONCE)
		drop(handle);
}

static void handle_datagrams(const struct handle *handle)
{
	struct sockaddr_storage peer;

	for (int i = 0; i < 64; i++) {
		socklen_t length = sizeof(peer);
		ssize_t size = recvfrom(handle->fd, buffer, sizeof(buffer), MSG_DONTWAIT, (struct sockaddr *)&peer, &length);

		if (size < 0)
			return;
		sendto(handle->fd, buffer, (size_t)size, MSG_DONTWAIT, (struct sockaddr *)&peer, length);
	}
}

int serve(const struct options *options)
{
	struct rlimit files;
	struct epoll_event events[256];
	uint64_t end = options->duration_ms ? now_ns() + options->duration_ms * 1000000 : UINT64_MAX;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	poller = epoll_create1(EPOLL_CLOEXEC);
	open_ports(options, &options->tcp_echo, SOCK_STREAM, ROLE_ECHO);
	open_ports(options, &options->tcp_once, SOCK_STREAM, ROLE_ONCE);
	open_ports(options, &options->tcp_sink, SOCK_STREAM, ROLE_SINK);
	open_ports(options, &options->udp_echo, SOCK_DGRAM, ROLE_UDP);
	printf("ready\n");
	fflush(stdout);
	while (now_ns() < end) {
		int count = epoll_wait(poller, events, 256, end == UINT64_MAX ? -1 : 100);

		for (int i = 0; i < count; i++) {
			struct handle *handle = events[i].data.ptr;

			if (handle->role == ROLE_LISTENER)
				accept_all(handle);
			else if (handle->role == ROLE_UDP)
				handle_datagrams(handle);
			else
				handle_stream(handle);
		}
	}
	return STATUS_OK;
}
