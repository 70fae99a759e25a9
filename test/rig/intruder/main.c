/*
 * intruder in ROOT: makes ROOT its root in a mount namespace of its own, as a container's runtime does, then serves.
 * intruder serve: reads tries from its input, one a line, does each in a process of its own, answers each with a line: "ok",
 *   or the name of the error. "here TRY" does it in the serving process itself, "keep PATH" and "keepw PATH" open a file
 *   that "use" and "usew" read and write later.
 * intruder give PATH SOCKET: waits at a UNIX socket, and passes the file, opened, to whoever comes.
 * intruder born CGROUP TRY...: does the try in a process that is born into a cgroup (clone3).
 * intruder do TRY..., intruder script FILE TRY...: does it, and ends with the error as its status.
 */

#define _GNU_SOURCE
#include "intruder.h"
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

int perform(char **words)
{
	const struct try *const tables[] = { plain_tries, way_tries };
	int count = 0;

	while (words[0] && words[1 + count])
		count++;
	for (size_t table = 0; words[0] && table < sizeof(tables) / sizeof(*tables); table++)
		for (const struct try *try = tables[table]; try->name; try++)
			if (!strcmp(try->name, words[0]))
				return count < try->count ? EINVAL : try->act(words + 1);
	return ENOSYS;
}

static int in_child(char **words)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return errno;
	if (!child)
		_exit(perform(words));
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EFAULT;
}

static int kept = -1;

static int answer(char **words)
{
	char byte = 'x';

	if (!strcmp(words[0], "here"))
		return perform(words + 1);
	if (!strcmp(words[0], "keep"))
		return failed(kept = open(words[1], O_RDONLY));
	if (!strcmp(words[0], "keepw"))
		return failed(kept = open(words[1], O_RDWR));
	if (!strcmp(words[0], "use"))
		return failed(pread(kept, &byte, 1, 0));
	if (!strcmp(words[0], "usew"))
		return failed(pwrite(kept, &byte, 1, 0));
	return in_child(words);
}

static int serve(void)
{
	static char line[65536];

	while (fgets(line, sizeof(line), stdin)) {
		char *words[64] = {}, *word = strtok(line, " \n");
		int error;

		for (int count = 0; word && count < 62; count++, word = strtok(NULL, " \n"))
			words[count] = word;
		if (!words[0])
			continue;
		error = answer(words);
		printf("%s\n", error ? strerrorname_np(error) : "ok");
		fflush(stdout);
	}
	return 0;
}

static int enter(const char *root)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return errno;
	if (mount(root, root, NULL, MS_BIND | MS_REC, NULL) || chdir(root))
		return errno;
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		return errno;
	return failed(mount("proc", "/proc", "proc", 0, NULL));
}

static int give(const char *path, const char *name)
{
	int file = open(path, O_RDWR), server = socket(AF_UNIX, SOCK_STREAM, 0), peer;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char byte = 0, room[CMSG_SPACE(sizeof(int))] = {};
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	strncpy(address.sun_path, name, sizeof(address.sun_path) - 1);
	if (file < 0 || bind(server, (struct sockaddr *)&address, sizeof(address)) || listen(server, 1))
		return errno;
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &file, sizeof(int));
	printf("ready\n");
	fflush(stdout);
	while ((peer = accept(server, NULL, NULL)) >= 0) {
		if (sendmsg(peer, &message, 0) < 0)
			return errno;
		close(peer);
	}
	return errno;
}

static int born(const char *cgroup, char **words)
{
	struct clone_args arguments = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	int status, directory = open(cgroup, O_RDONLY | O_DIRECTORY);
	pid_t child;

	arguments.cgroup = directory;
	child = syscall(SYS_clone3, &arguments, sizeof(arguments));
	if (directory < 0 || child < 0)
		return errno;
	if (!child)
		_exit(perform(words));
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

int main(int count, char **words)
{
	int error = EINVAL;

	if (count == 2 && !strcmp(words[1], "serve"))
		return serve();
	if (count == 3 && !strcmp(words[1], "in")) {
		error = enter(words[2]);
		if (!error)
			return serve();
	} else if (count == 4 && !strcmp(words[1], "give")) {
		error = give(words[2], words[3]);
	} else if (count > 3 && !strcmp(words[1], "born")) {
		error = born(words[2], words + 3);
	} else if (count == 2 && !strcmp(words[1], "nothing")) {
		return 0;
	} else if (count > 2 && !strcmp(words[1], "do")) {
		return perform(words + 2);
	} else if (count > 3 && !strcmp(words[1], "script")) {
		return perform(words + 3);
	}
	printf("%s\n", error ? strerrorname_np(error) : "ok");
	return 0;
}
