/* Descriptors that go from hand to hand, and mounts that need options. */
#include "deeds.h"
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int named(const char *text, struct sockaddr_un *name, socklen_t *length)
{
	memset(name, 0, sizeof(*name));
	name->sun_family = AF_UNIX;
	memcpy(name->sun_path + 1, text + 1, strlen(text) - 1);
	*length = offsetof(struct sockaddr_un, sun_path) + strlen(text);
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

union room {
	struct cmsghdr head;
	char space[CMSG_SPACE(sizeof(int))];
};

/* Whoever connects to the abstract name is handed the file; ends with its input. */
static int hand_out(char **arguments)
{
	struct sockaddr_un name;
	socklen_t length;
	int file = open(arguments[1], O_RDONLY), server = named(arguments[0], &name, &length), client;

	if (file < 0 || bind(server, (struct sockaddr *)&name, length) || listen(server, 8))
		return errno;
	printf("serving\n");
	while ((client = accept(server, NULL, NULL)) >= 0) {
		struct iovec data = { "x", 1 };
		union room room = {};
		struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof(room) };

		room.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(&room.head), &file, sizeof(file));
		sendmsg(client, &message, 0);
		close(client);
	}
	return errno;
}

/* What arrives, read. No descriptor at all: it was taken out on the way. */
static int receive(char **arguments)
{
	struct sockaddr_un name;
	socklen_t length;
	char text[1];
	struct iovec data = { text, 1 };
	union room room = {};
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof(room) };
	int client = named(arguments[0], &name, &length), file;

	if (connect(client, (struct sockaddr *)&name, length) || recvmsg(client, &message, 0) < 0)
		return errno;
	if (message.msg_controllen < CMSG_LEN(sizeof(int)))
		return EACCES;
	memcpy(&file, CMSG_DATA(&room.head), sizeof(file));
	return failed(read(file, text, 1));
}

static int mount_overlay(char **arguments)
{
	return failed(unshare(CLONE_NEWNS)) ?:
	       failed(mount("overlay", arguments[0], "overlay", 0, "lowerdir=/etc:/srv"));
}

/* The same by the calls that came later. */
static int mount_overlay_new(char **arguments)
{
	int context, error = failed(unshare(CLONE_NEWNS));

	if (error)
		return error;
	context = syscall(SYS_fsopen, "overlay", 0);
	if (context < 0 || syscall(SYS_fsconfig, context, 1 /* SET_STRING */, "lowerdir", "/etc:/srv", 0) ||
	    syscall(SYS_fsconfig, context, 6 /* CREATE */, NULL, NULL, 0))
		return errno;
	(void)arguments;
	return failed(syscall(SYS_fsmount, context, 0, 0));
}

/* The hierarchy of that name, in which no controller is. */
static int mount_cgroup(char **arguments)
{
	char options[256];

	snprintf(options, sizeof(options), "none,name=%s", arguments[0]);
	return failed(unshare(CLONE_NEWNS)) ?: failed(mount("none", arguments[1], "cgroup", 0, options));
}

/* Takes a mount and all below it away, then becomes this program anew. */
static int leave(char **arguments)
{
	char *const words[] = { "deed", arguments[1], NULL };

	if (umount2(arguments[0], MNT_DETACH))
		return errno;
	return failed(execv("/deed", words));
}

const struct deed passing_deeds[] = {
	{ "mount-cgroup", "NAME TARGET", mount_cgroup, 2 },
	{ "leave-old-root", "PATH WORD", leave, 2 },
	{ "hand-out", "@NAME FILE", hand_out, 2 },
	{ "receive", "@NAME", receive, 1 },
	{ "mount-overlay", "TARGET", mount_overlay, 1 },
	{ "mount-overlay-new", "", mount_overlay_new, 0 },
	{},
};
