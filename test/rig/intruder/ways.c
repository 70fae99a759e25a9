/* Ways round: to the same object by another name, mount, root, descriptor, thread, or task. */

#define _GNU_SOURCE
#include "intruder.h"
#include <linux/io_uring.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif

static int own_mounts(void)
{
	return failed(unshare(CLONE_NEWNS)) ?: failed(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

static int write_text(const char *path, const char *text)
{
	int file = open(path, O_WRONLY);

	return file < 0 ? errno : failed(write(file, text, strlen(text))) ?: failed(close(file));
}

/* As `unshare -Urm` does. */
static int own_user(void)
{
	char map[64];

	snprintf(map, sizeof(map), "0 %d 1", geteuid());
	return failed(unshare(CLONE_NEWUSER | CLONE_NEWNS)) ?: write_text("/proc/self/uid_map", map);
}

static int with_own_user(char **arguments)
{
	return own_user() ?: perform(arguments);
}

/* DIRECTORY ELSEWHERE PATH: the directory mounted elsewhere, and the path below that. */
static int by_bind(char **arguments)
{
	int directory;

	if (own_mounts() || mount(arguments[0], arguments[1], NULL, MS_BIND | MS_REC, NULL))
		return errno;
	directory = open(arguments[1], O_PATH);
	return directory < 0 ? errno : read_at(directory, arguments[2]);
}

/* The same, with the mount made root. */
static int by_pivot(char **arguments)
{
	if (own_mounts() || mount(arguments[0], arguments[1], NULL, MS_BIND | MS_REC, NULL) || chdir(arguments[1]))
		return errno;
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH))
		return errno;
	return read_at(AT_FDCWD, arguments[2]);
}

/* DIRECTORY PATH: a mount that hangs nowhere. */
static int by_tree(char **arguments)
{
	int tree = syscall(SYS_open_tree, AT_FDCWD, arguments[0], OPEN_TREE_CLONE | AT_RECURSIVE);

	return tree < 0 ? errno : read_at(tree, arguments[1]);
}

/* DIRECTORY ELSEWHERE EMPTY PATH: a layer of an overlay. */
static int by_overlay(char **arguments)
{
	char options[8192];
	int directory;

	snprintf(options, sizeof(options), "lowerdir=%s:%s", arguments[0], arguments[2]);
	if (own_mounts() || mount("overlay", arguments[1], "overlay", MS_RDONLY, options))
		return errno;
	directory = open(arguments[1], O_PATH);
	return directory < 0 ? errno : read_at(directory, arguments[3]);
}

static int by_chroot(char **arguments)
{
	return failed(chroot(arguments[0])) ?: failed(chdir("/")) ?: read_at(AT_FDCWD, arguments[1]);
}

/* LINK PATH */
static int by_symlink(char **arguments)
{
	int error = failed(symlink(arguments[1], arguments[0]));

	error = error ?: read_at(AT_FDCWD, arguments[0]);
	unlink(arguments[0]);
	return error;
}

static int by_proc_root(char **arguments)
{
	char path[8192];

	snprintf(path, sizeof(path), "/proc/self/root%s", arguments[0]);
	return read_at(AT_FDCWD, path);
}

static int reopen(int file, int flags)
{
	char path[64], byte;
	int again;

	if (file < 0)
		return errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	again = open(path, flags);
	return again < 0 ? errno : failed(read(again, &byte, 1));
}

static int by_descriptor(char **arguments)
{
	return reopen(open(arguments[0], O_PATH), O_RDONLY);
}

/* DIRECTORY NAME */
static int by_directory(char **arguments)
{
	int directory = open(arguments[0], O_PATH | O_DIRECTORY);

	return directory < 0 ? errno : read_at(directory, arguments[1]);
}

/* PATH DIRECTORY: some directory of its mount */
static int by_handle(char **arguments)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} space = { .handle.handle_bytes = MAX_HANDLE_SZ };
	int mount_id, file, top = open(arguments[1], O_RDONLY);
	char byte;

	if (name_to_handle_at(AT_FDCWD, arguments[0], &space.handle, &mount_id, 0))
		return errno;
	/* Nobody may have it at hand any more. */
	write_text("/proc/sys/vm/drop_caches", "2");
	file = open_by_handle_at(top, &space.handle, O_RDONLY);
	return file < 0 ? errno : failed(read(file, &byte, 1));
}

/* SOCKET: what somebody passes. */
static int take(char **arguments)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char byte, room[CMSG_SPACE(sizeof(int))];
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	int peer = socket(AF_UNIX, SOCK_STREAM, 0), file;

	strncpy(address.sun_path, arguments[0], sizeof(address.sun_path) - 1);
	if (connect(peer, (struct sockaddr *)&address, sizeof(address)))
		return errno;
	if (recvmsg(peer, &message, 0) < 0)
		return errno;
	/* Refused descriptors are left out, and nothing else is said. */
	if (!CMSG_FIRSTHDR(&message) || message.msg_flags & MSG_CTRUNC)
		return EACCES;
	memcpy(&file, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(file));
	return failed(pread(file, &byte, 1, 0));
}

/* COUNT NAME: a file so many directories below, further than any path may be long. */
static int make_deep(char **arguments)
{
	int file;

	for (int depth = atoi(arguments[0]); depth > 0; depth--)
		if ((mkdir("ddddddd", 0755) && errno != EEXIST) || chdir("ddddddd"))
			return errno;
	file = open(arguments[1], O_WRONLY | O_CREAT, 0644);
	return file < 0 ? errno : failed(write(file, "deep", 4));
}

static int read_deep(char **arguments)
{
	for (int depth = atoi(arguments[0]); depth > 0; depth--)
		if (chdir("ddddddd"))
			return errno;
	return read_at(AT_FDCWD, arguments[1]);
}

static int go(char **arguments)
{
	return failed(chdir(arguments[0])) ?: perform(arguments + 1);
}

/* A grandchild whose parent is gone, in a session of its own. */
static int as_daemon(char **arguments)
{
	int ends[2], error = 0;
	pid_t child;

	if (pipe(ends))
		return errno;
	child = fork();
	if (!child) {
		setsid();
		if (fork())
			_exit(0);
		usleep(50000);
		error = perform(arguments);
		_exit(write(ends[1], &error, sizeof(error)) < 0);
	}
	waitpid(child, NULL, 0);
	return read(ends[0], &error, sizeof(error)) == sizeof(error) ? error : EPIPE;
}

/* CGROUP: goes there first. */
static int elsewhere(char **arguments)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/cgroup.procs", arguments[0]);
	return write_text(path, "0") ?: perform(arguments + 1);
}

/* NAMESPACE: a mount namespace by its file. */
static int with_mounts_of(char **arguments)
{
	int file = open(arguments[0], O_RDONLY);

	return file < 0 ? errno : failed(setns(file, CLONE_NEWNS)) ?: perform(arguments + 1);
}

/* io_uring opens it, by a worker thread of the kernel. */
static int by_ring(char **arguments)
{
	struct io_uring_params parameters = {};
	struct io_uring_sqe *entry;
	struct io_uring_cqe *answer;
	unsigned int *tail, *array;
	char *submission, *completion, byte;
	int ring = syscall(SYS_io_uring_setup, 2, &parameters), file;

	if (ring < 0)
		return errno;
	entry = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	submission = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	completion = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	memset(entry, 0, sizeof(*entry));
	entry->opcode = IORING_OP_OPENAT;
	entry->flags = IOSQE_ASYNC;
	entry->fd = AT_FDCWD;
	entry->addr = (unsigned long)arguments[0];
	entry->open_flags = O_RDONLY;
	array = (unsigned int *)(submission + parameters.sq_off.array);
	tail = (unsigned int *)(submission + parameters.sq_off.tail);
	array[0] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return errno;
	answer = (struct io_uring_cqe *)(completion + parameters.cq_off.cqes);
	file = answer->res;
	return file < 0 ? -file : failed(read(file, &byte, 1));
}

/* SECONDS PATH: reads as often as it can; EALREADY where it succeeded once. */
static int hammer(char **arguments)
{
	time_t end = time(NULL) + atoi(arguments[0]);
	unsigned int count = 0;

	while (time(NULL) < end)
		for (int index = 0; index < 50; index++, count++)
			if (!read_at(AT_FDCWD, arguments[1]))
				return EALREADY;
	return count ? 0 : ENODATA;
}

const struct try way_tries[] = {
	{ "unshared", 1, with_own_user },
	{ "by-bind", 3, by_bind },
	{ "by-pivot", 3, by_pivot },
	{ "by-tree", 2, by_tree },
	{ "by-overlay", 4, by_overlay },
	{ "by-chroot", 2, by_chroot },
	{ "by-symlink", 2, by_symlink },
	{ "by-proc-root", 1, by_proc_root },
	{ "by-descriptor", 1, by_descriptor },
	{ "by-directory", 2, by_directory },
	{ "by-handle", 2, by_handle },
	{ "by-ring", 1, by_ring },
	{ "take", 1, take },
	{ "make-deep", 2, make_deep },
	{ "read-deep", 2, read_deep },
	{ "go", 2, go },
	{ "as-daemon", 1, as_daemon },
	{ "elsewhere", 2, elsewhere },
	{ "with-mounts-of", 2, with_mounts_of },
	{ "hammer", 2, hammer },
	{ NULL, 0, NULL },
};
