#include "deeds.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int set_host_name(char **arguments)
{
	(void)arguments;
	if (unshare(CLONE_NEWUTS))
		return errno;
	return failed(sethostname("deed", 4));
}

static int be_nicer(char **arguments)
{
	return failed(setpriority(PRIO_PROCESS, 0, atoi(arguments[0])));
}

static int change_owner(char **arguments)
{
	int fd = open(arguments[0], O_CREAT | O_RDWR, 0600), error;

	if (fd < 0)
		return errno;
	error = failed(fchown(fd, 1234, -1)) ?: failed(fchown(fd, 0, -1));
	close(fd);
	return error;
}

/* Writes to a file, which may make an overlay copy it up with the credentials of who mounted it. */
static int append(char **arguments)
{
	int fd = open(arguments[0], O_WRONLY | O_APPEND), error;

	if (fd < 0)
		return errno;
	error = failed(fchmod(fd, 0640)) ?: failed(write(fd, "\n", 1));
	close(fd);
	return error;
}

static int in_user_namespace(int more)
{
	return failed(unshare(CLONE_NEWUSER | more));
}

static int make_user_namespace(char **arguments)
{
	(void)arguments;
	return in_user_namespace(0);
}

static int clone_user_namespace(char **arguments)
{
	long child;

	(void)arguments;
	child = syscall(SYS_clone, CLONE_NEWUSER | CLONE_FILES, 0, 0, 0, 0);
	if (!child)
		_exit(0);
	if (child < 0)
		return errno;
	waitpid(child, NULL, 0);
	return 0;
}

static int clone3_user_namespace(char **arguments)
{
	unsigned long long options[11] = { CLONE_NEWUSER, 0, 0, 0, 17 /* SIGCHLD */ };
	long child;

	(void)arguments;
	child = syscall(SYS_clone3, options, 64);
	if (!child)
		_exit(0);
	if (child < 0)
		return errno;
	waitpid(child, NULL, 0);
	return 0;
}

static int make_uts_namespace(char **arguments)
{
	(void)arguments;
	return failed(unshare(CLONE_NEWUTS));
}

static int host_name_in_user_namespace(char **arguments)
{
	int error;

	(void)arguments;
	error = in_user_namespace(CLONE_NEWUTS);
	return error ?: failed(sethostname("deed", 4));
}

static int run_as(char **arguments)
{
	return failed(setgid(65534)) ?: failed(setuid(atoi(arguments[0])));
}

static int return_to_root(char **arguments)
{
	(void)arguments;
	if (prctl(PR_SET_KEEPCAPS, 1) || setresuid(65534, 65534, 65534))
		return errno;
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return errno;
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	if (syscall(SYS_capset, &head, data))
		return errno;
	return failed(setresuid(0, 0, 0));
}

/* The way round: only the user that file systems see. */
static int return_to_root_for_files(char **arguments)
{
	(void)arguments;
	if (prctl(PR_SET_KEEPCAPS, 1) || setresuid(65534, 65534, 65534))
		return errno;
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return errno;
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	if (syscall(SYS_capset, &head, data))
		return errno;
	syscall(SYS_setfsuid, 0);
	return syscall(SYS_setfsuid, -1) == 0 ? 0 : EPERM;
}

/* A neighbour: root that stepped aside for a moment. */
static int step_aside(char **arguments)
{
	(void)arguments;
	return failed(seteuid(65534)) ?: failed(seteuid(0));
}

const struct deed capability_deeds[] = {
	{ "sethostname", "", set_host_name, 0 },
	{ "priority", "NICE", be_nicer, 1 },
	{ "chown", "FILE", change_owner, 1 },
	{ "append", "FILE", append, 1 },
	{ "userns", "", make_user_namespace, 0 },
	{ "userns-clone", "", clone_user_namespace, 0 },
	{ "userns-clone3", "", clone3_user_namespace, 0 },
	{ "utsns", "", make_uts_namespace, 0 },
	{ "userns-sethostname", "", host_name_in_user_namespace, 0 },
	{ "setuid", "USER", run_as, 1 },
	{ "become-root", "", return_to_root, 0 },
	{ "become-root-fs", "", return_to_root_for_files, 0 },
	{ "step-aside", "", step_aside, 0 },
	{},
};
