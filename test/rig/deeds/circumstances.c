/*
 * Deeds done as somebody else: `in-userns DEED...` in a user namespace and others of its own, `in-userns-alone DEED...`
 * in nothing but that, which maps no users, `usual DEED...` with the capabilities that container runtimes grant,
 * `as-user DEED...` with none, `unshared DEED...` as an orphan in other namespaces.
 */
#include "deeds.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static int write_map(pid_t process, const char *name)
{
	char path[64];
	int fd, error;

	snprintf(path, sizeof(path), "/proc/%d/%s", process, name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return errno;
	error = failed(write(fd, "0 0 65536", 9));
	close(fd);
	return error;
}

/* A child in namespaces of its own, whose users are those outside; what it returns comes as its status. */
int in_namespaces(int (*act)(char **), char **arguments)
{
	static const int namespaces = CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWCGROUP;
	int go[2], ready[2], status, error;
	pid_t child;
	char byte = 0;

	if (pipe(go) || pipe(ready))
		return errno;
	child = fork();
	if (!child) {
		error = failed(unshare(CLONE_NEWUSER | namespaces));
		if (write(ready[1], &error, sizeof(error)) < 0 || read(go[0], &byte, 1) < 0)
			_exit(255);
		if (error)
			_exit(error);
		/* Its first child is the first of the namespace of processes. */
		child = fork();
		if (!child)
			_exit(act(arguments));
		waitpid(child, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD);
	}
	if (read(ready[0], &error, sizeof(error)) != sizeof(error))
		error = EPIPE;
	if (!error)
		error = write_map(child, "uid_map") ?: write_map(child, "gid_map");
	if (write(go[1], &byte, 1) < 0)
		return errno;
	waitpid(child, &status, 0);
	return error ?: WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

static int perform(char **words)
{
	const struct deed *deed = find_deed(words[0]);

	return deed ? deed->act(words + 1) : ENOSYS;
}

static int in_user_namespace(char **words)
{
	return in_namespaces(perform, words);
}

/* What engines go by that lose a container: another mount namespace, a parent that is gone. */
static int unshared(char **words)
{
	int status, ends[2], error;
	pid_t child;

	if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWCGROUP) || pipe(ends))
		return errno;
	child = fork();
	if (!child) {
		if (fork())
			_exit(0);
		setsid();
		error = perform(words);
		if (write(ends[1], &error, sizeof(error)) < 0)
			_exit(1);
		_exit(0);
	}
	close(ends[1]);
	waitpid(child, &status, 0);
	return read(ends[0], &error, sizeof(error)) == sizeof(error) ? error : ECHILD;
}

/* Other namespaces would need CAP_SYS_ADMIN in it, and so would users. */
static int in_user_namespace_alone(char **words)
{
	return failed(unshare(CLONE_NEWUSER)) ?: perform(words);
}

static int usual(char **words)
{
	static const int granted[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETGID,
				       CAP_SETUID, CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_SYS_CHROOT,
				       CAP_MKNOD, CAP_AUDIT_WRITE, CAP_SETFCAP };
	unsigned long long kept = 0;

	for (size_t i = 0; i < sizeof(granted) / sizeof(*granted); i++)
		kept |= 1ull << granted[i];
	for (int number = 0; number <= CAP_LAST_CAP; number++)
		if (!(kept >> number & 1) && prctl(PR_CAPBSET_DROP, number, 0, 0, 0))
			return errno;
	return keep_capabilities(kept) ?: perform(words);
}

static int as_user(char **words)
{
	return failed(setgroups(0, NULL)) ?: failed(setresgid(1000, 1000, 1000)) ?: failed(setresuid(1000, 1000, 1000)) ?:
	       perform(words);
}

const struct deed circumstance_deeds[] = {
	{ "in-userns", "DEED...", in_user_namespace, 1 },
	{ "in-userns-alone", "DEED...", in_user_namespace_alone, 1 },
	{ "unshared", "DEED...", unshared, 1 },
	{ "usual", "DEED...", usual, 1 },
	{ "as-user", "DEED...", as_user, 1 },
	{},
};
