/* What is done to other processes. */
#include "deeds.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

static int attach(char **arguments)
{
	pid_t pid = atoi(arguments[0]);

	if (ptrace(PTRACE_SEIZE, pid, 0, 0))
		return errno;
	return 0; /* it is let go when we end */
}

/* A child of our own. */
static int attach_child(char **arguments)
{
	pid_t child = fork();
	int error;

	(void)arguments;
	if (!child) {
		pause();
		_exit(0);
	}
	error = failed(ptrace(PTRACE_SEIZE, child, 0, 0));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return error;
}

/* The child asks for it. */
static int trace_me(char **arguments)
{
	pid_t child = fork();
	int status;

	(void)arguments;
	if (!child)
		_exit(failed(ptrace(PTRACE_TRACEME, 0, 0, 0)));
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

static int read_memory(char **arguments)
{
	char here[1];
	struct iovec local = { here, 1 }, remote = { (void *)8, 1 };
	int error = failed(process_vm_readv(atoi(arguments[0]), &local, 1, &remote, 1, 0));

	return error == EFAULT ? 0 : error; /* it was let look where nothing is */
}

static int take_descriptor(char **arguments)
{
	int process = syscall(SYS_pidfd_open, atoi(arguments[0]), 0);

	return process < 0 ? errno : failed(syscall(SYS_pidfd_getfd, process, 0, 0));
}

static int read_file_of(const char *pid, const char *name)
{
	char path[64], text[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
	fd = open(path, O_RDONLY);
	return fd < 0 ? errno : failed(read(fd, text, sizeof(text)));
}

static int read_environment(char **arguments)
{
	return read_file_of(arguments[0], "environ");
}

static int read_status(char **arguments)
{
	return read_file_of(arguments[0], "status");
}

static int enter_root(char **arguments)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/root/etc", arguments[0]);
	fd = open(path, O_RDONLY);
	return fd < 0 ? errno : 0;
}

static int send_signal(char **arguments)
{
	return failed(kill(atoi(arguments[0]), atoi(arguments[1])));
}

static int send_signal_by_descriptor(char **arguments)
{
	int process = syscall(SYS_pidfd_open, atoi(arguments[0]), 0);

	return process < 0 ? errno : failed(syscall(SYS_pidfd_send_signal, process, atoi(arguments[1]), NULL, 0));
}

static int send_thread_signal(char **arguments)
{
	pid_t pid = atoi(arguments[0]);

	return failed(syscall(SYS_tgkill, pid, pid, atoi(arguments[1])));
}

/* Have the kernel send it, when a pipe has something to read. */
static int send_signal_by_pipe(char **arguments)
{
	int ends[2];

	if (pipe2(ends, O_NONBLOCK))
		return errno;
	if (fcntl(ends[0], F_SETSIG, atoi(arguments[1])) || fcntl(ends[0], F_SETOWN, atoi(arguments[0])) ||
	    fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK))
		return errno;
	return failed(write(ends[1], "x", 1));
}

/* The same of a socket, which has its own way to name an owner. */
static int send_signal_by_socket(char **arguments)
{
	pid_t owner = atoi(arguments[0]);
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) || fcntl(ends[0], F_SETSIG, atoi(arguments[1])))
		return errno;
	if (ioctl(ends[0], FIOSETOWN, &owner) || fcntl(ends[0], F_SETFL, O_ASYNC))
		return errno;
	return failed(write(ends[1], "x", 1));
}

/* The same with words that lie in memory. */
static int send_signal_by_owner(char **arguments)
{
	struct f_owner_ex owner = { F_OWNER_PID, atoi(arguments[0]) };
	int ends[2];

	return failed(pipe2(ends, O_NONBLOCK)) ?: failed(fcntl(ends[0], F_SETOWN_EX, &owner));
}

/* A limit that ends nobody: none on what it may write of itself. */
static int limit(char **arguments)
{
	struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	pid_t pid = atoi(arguments[0]);

	return failed(prlimit(pid ? pid : getpid(), RLIMIT_CORE, &none, NULL));
}

/* A neighbour: an owner of its own. */
static int own_pipe(char **arguments)
{
	int ends[2];

	(void)arguments;
	signal(SIGIO, SIG_IGN);
	if (pipe2(ends, O_NONBLOCK))
		return errno;
	if (fcntl(ends[0], F_SETOWN, getpid()) || fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK))
		return errno;
	return failed(write(ends[1], "x", 1));
}

static int signal_child(char **arguments)
{
	pid_t child = fork();
	int error;

	(void)arguments;
	if (!child) {
		pause();
		_exit(0);
	}
	error = failed(kill(child, SIGKILL));
	if (!error)
		waitpid(child, NULL, 0);
	return error;
}

/* In another session and process group, with its parent gone. */
static int signal_orphan(char **arguments)
{
	int ends[2];
	pid_t child, orphan = 0;

	(void)arguments;
	if (pipe(ends))
		return errno;
	child = fork();
	if (!child) {
		pid_t grandchild;

		setsid();
		grandchild = fork();
		if (!grandchild) {
			sleep(30);
			_exit(0);
		}
		_exit(write(ends[1], &grandchild, sizeof(grandchild)) < 0);
	}
	waitpid(child, NULL, 0);
	if (read(ends[0], &orphan, sizeof(orphan)) != sizeof(orphan))
		return ENODATA;
	return failed(kill(orphan, SIGKILL));
}

const struct deed other_deeds[] = {
	{ "ptrace", "PID", attach, 1 },
	{ "ptrace-child", "", attach_child, 0 },
	{ "ptrace-me", "", trace_me, 0 },
	{ "read-memory", "PID", read_memory, 1 },
	{ "take-descriptor", "PID", take_descriptor, 1 },
	{ "read-environment", "PID", read_environment, 1 },
	{ "read-status", "PID", read_status, 1 },
	{ "enter-root", "PID", enter_root, 1 },
	{ "signal", "PID SIGNAL", send_signal, 2 },
	{ "signal-descriptor", "PID SIGNAL", send_signal_by_descriptor, 2 },
	{ "signal-thread", "PID SIGNAL", send_thread_signal, 2 },
	{ "signal-pipe", "PID SIGNAL", send_signal_by_pipe, 2 },
	{ "signal-socket", "PID SIGNAL", send_signal_by_socket, 2 },
	{ "signal-owner", "PID", send_signal_by_owner, 1 },
	{ "limit", "PID", limit, 1 },
	{ "own-pipe", "", own_pipe, 0 },
	{ "signal-child", "", signal_child, 0 },
	{ "signal-orphan", "", signal_orphan, 0 },
	{},
};
