/* UNIX sockets: paths, and with an @ in front abstract names. */
#include "deeds.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static socklen_t name_of(const char *text, struct sockaddr_un *name)
{
	size_t length = strlen(text);

	memset(name, 0, sizeof(*name));
	name->sun_family = AF_UNIX;
	memcpy(name->sun_path, text, length);
	if (*text != '@')
		return sizeof(*name);
	name->sun_path[0] = 0;
	return offsetof(struct sockaddr_un, sun_path) + length;
}

static int connect_to(const char *text, int type, int padded)
{
	struct sockaddr_un name;
	socklen_t length = name_of(text, &name);
	int fd = socket(AF_UNIX, type, 0);

	return fd < 0 ? errno : failed(connect(fd, (struct sockaddr *)&name, padded ? sizeof(name) : length));
}

static int connect_stream(char **arguments)
{
	return connect_to(arguments[0], SOCK_STREAM, 0);
}

static int connect_sequence(char **arguments)
{
	return connect_to(arguments[0], SOCK_SEQPACKET, 0);
}

static int connect_datagram(char **arguments)
{
	return connect_to(arguments[0], SOCK_DGRAM, 0);
}

static int connect_padded(char **arguments)
{
	return connect_to(arguments[0], SOCK_STREAM, 1);
}

static int send_datagram(char **arguments)
{
	struct sockaddr_un name;
	socklen_t length = name_of(arguments[0], &name);
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	return fd < 0 ? errno : failed(sendto(fd, "x", 1, 0, (struct sockaddr *)&name, length));
}

/* By another name of the same file. */
static int connect_link(char **arguments)
{
	char other[108];
	int error;

	snprintf(other, sizeof(other), "%s.other", arguments[0]);
	if (link(arguments[0], other))
		return errno;
	error = connect_to(other, SOCK_STREAM, 0);
	unlink(other);
	return error;
}

/* By an open descriptor's name. */
static int connect_descriptor(char **arguments)
{
	char other[108];
	int fd = open(arguments[0], O_PATH);

	if (fd < 0)
		return errno;
	snprintf(other, sizeof(other), "/proc/self/fd/%d", fd);
	return connect_to(other, SOCK_STREAM, 0);
}

static int bind_to(char **arguments)
{
	struct sockaddr_un name;
	socklen_t length = name_of(arguments[0], &name);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&name, length))
		return errno;
	return *arguments[0] == '@' ? 0 : failed(unlink(arguments[0]));
}

static int pair(char **arguments)
{
	int ends[2];

	(void)arguments;
	return failed(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) ?: failed(send(ends[0], "x", 1, 0));
}

/* Listens on all names until its input ends: TYPE and NAME each. */
static int serve(char **arguments)
{
	char nothing;

	for (; arguments[0] && arguments[1]; arguments += 2) {
		int type = *arguments[0] == 's' ? SOCK_STREAM : *arguments[0] == 'd' ? SOCK_DGRAM : SOCK_SEQPACKET;
		struct sockaddr_un name;
		socklen_t length = name_of(arguments[1], &name);
		int fd = socket(AF_UNIX, type, 0);

		/* A second letter: the name is as long as it can be. */
		if (arguments[0][1])
			length = sizeof(name);
		if (fd < 0 || bind(fd, (struct sockaddr *)&name, length))
			return errno;
		if (type != SOCK_DGRAM && listen(fd, 64))
			return errno;
	}
	printf("serving\n");
	while (read(0, &nothing, 1) > 0)
		;
	return 0;
}

const struct deed local_deeds[] = {
	{ "unix-connect", "NAME", connect_stream, 1 },
	{ "unix-connect-sequence", "NAME", connect_sequence, 1 },
	{ "unix-connect-datagram", "NAME", connect_datagram, 1 },
	{ "unix-connect-padded", "NAME", connect_padded, 1 },
	{ "unix-connect-link", "NAME", connect_link, 1 },
	{ "unix-connect-descriptor", "NAME", connect_descriptor, 1 },
	{ "unix-send", "NAME", send_datagram, 1 },
	{ "unix-bind", "NAME", bind_to, 1 },
	{ "unix-pair", "", pair, 0 },
	{ "unix-serve", "TYPE NAME...", serve, 2 },
	{},
};
