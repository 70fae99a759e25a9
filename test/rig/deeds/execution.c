/* Running programs: `execute WAY PROGRAM`. The program is told nothing, and its output is thrown away. */
#include "deeds.h"
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;

/* In a child: what execution fails with comes back through a pipe that success closes. */
static int run(const char *path, int fd, char *const arguments[])
{
	int ends[2], error = 0, status;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return errno;
	child = fork();
	if (!child) {
		int nowhere = open("/dev/null", O_RDWR);

		dup2(nowhere, 0);
		dup2(nowhere, 1);
		dup2(nowhere, 2);
		if (path)
			execve(path, arguments, environ);
		else
			syscall(SYS_execveat, fd, "", arguments, environ, AT_EMPTY_PATH);
		error = errno;
		if (write(ends[1], &error, sizeof(error)) < 0)
			_exit(2);
		_exit(1);
	}
	close(ends[1]);
	if (read(ends[0], &error, sizeof(error)) != sizeof(error))
		error = 0;
	close(ends[0]);
	waitpid(child, &status, 0);
	/* The dynamic loader says by its status that it was not let. */
	return error ?: WIFEXITED(status) && WEXITSTATUS(status) == 127 ? EACCES : 0;
}

static char *const nothing[] = { "deed", NULL };

static int copy_to(int to, const char *from)
{
	int fd = open(from, O_RDONLY), error = 0;
	char block[65536];
	ssize_t count;

	if (fd < 0)
		return errno;
	while ((count = read(fd, block, sizeof(block))) > 0)
		if (write(to, block, count) != count)
			error = errno ?: EIO;
	close(fd);
	return count < 0 ? errno : error;
}

static int plainly(const char *path)
{
	return run(path, -1, nothing);
}

static int by_descriptor(const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC);

	return fd < 0 ? errno : run(NULL, fd, nothing);
}

static int by_symbolic_link(const char *path)
{
	int error;

	unlink("/tmp/deed-program");
	error = failed(symlink(path, "/tmp/deed-program")) ?: plainly("/tmp/deed-program");
	unlink("/tmp/deed-program");
	return error;
}

static int by_hard_link(const char *path)
{
	char other[4200];
	int error;

	snprintf(other, sizeof(other), "%s.linked", path);
	if (link(path, other))
		return errno;
	error = plainly(other);
	unlink(other);
	return error;
}

static int by_bind_mount(const char *path)
{
	int fd = open("/var/deed-program", O_CREAT | O_RDONLY, 0755);

	close(fd);
	if (unshare(CLONE_NEWNS) || mount(path, "/var/deed-program", NULL, MS_BIND, NULL))
		return errno;
	return plainly("/var/deed-program");
}

/* As the interpreter of a script. */
static int as_interpreter(const char *path)
{
	int fd = open("/var/deed-script", O_CREAT | O_TRUNC | O_WRONLY, 0755);

	if (fd < 0)
		return errno;
	dprintf(fd, "#!%s\n", path);
	close(fd);
	return plainly("/var/deed-script");
}

/* By the loader of dynamically linked programs, which maps it. */
static int by_loader(const char *path)
{
	char *const arguments[] = { "loader", (char *)path, NULL };

	return run("/lib64/ld-linux-x86-64.so.2", -1, arguments);
}

static int by_copy(const char *path)
{
	int fd, error;

	unlink("/var/deed-copy");
	fd = open("/var/deed-copy", O_CREAT | O_WRONLY, 0755);
	if (fd < 0)
		return errno;
	error = copy_to(fd, path);
	close(fd);
	return error ?: plainly("/var/deed-copy");
}

static int from_memory(const char *path)
{
	int fd = memfd_create("deed", 0), error;

	if (fd < 0)
		return errno;
	error = copy_to(fd, path);
	return error ?: run(NULL, fd, nothing);
}

/* The same by its name in procfs. */
static int from_memory_by_name(const char *path)
{
	int fd = memfd_create("deed", 0), error;
	char name[64];

	if (fd < 0)
		return errno;
	error = copy_to(fd, path);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return error ?: plainly(name);
}

/* By the loader, which is told the name in procfs. */
static int from_memory_by_loader(const char *path)
{
	int fd = memfd_create("deed", 0), error;
	char name[64];

	if (fd < 0)
		return errno;
	error = copy_to(fd, path);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return error ?: by_loader(name);
}

/* Deleted before it is run. */
static int by_removed_file(const char *path)
{
	int written = open("/var/deed-removed", O_CREAT | O_TRUNC | O_WRONLY, 0755), fd, error;

	if (written < 0)
		return errno;
	error = copy_to(written, path);
	close(written);
	fd = open("/var/deed-removed", O_RDONLY | O_CLOEXEC);
	unlink("/var/deed-removed");
	return error ?: run(NULL, fd, nothing);
}

/* Mounted on a name, then deleted where it was: a volume that was replaced. */
static int by_mount_of_removed_file(const char *path)
{
	int written = open("/var/deed-removed", O_CREAT | O_TRUNC | O_WRONLY, 0755), error;

	if (written < 0)
		return errno;
	error = copy_to(written, path) ?: failed(close(open("/var/deed-program", O_CREAT | O_RDONLY, 0755)));
	close(written);
	if (!error)
		error = failed(unshare(CLONE_NEWNS)) ?:
			failed(mount("/var/deed-removed", "/var/deed-program", NULL, MS_BIND, NULL));
	unlink("/var/deed-removed");
	return error ?: plainly("/var/deed-program");
}

/* A file that no directory holds. */
static int from_nameless_file(const char *path)
{
	int written = open("/dev/shm", O_TMPFILE | O_RDWR, 0755), fd, error;
	char name[64];

	if (written < 0)
		return errno;
	error = copy_to(written, path);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", written);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	/* Nobody runs what is open to be written. */
	close(written);
	return error ?: run(NULL, fd, nothing);
}

/* Mapped as code, as a loader of one's own does. */
static int by_mapping(const char *path)
{
	int fd = open(path, O_RDONLY);
	void *page;

	if (fd < 0)
		return errno;
	page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	return page == MAP_FAILED ? errno : 0;
}

static const struct {
	const char *name;
	int (*run)(const char *path);
} ways[] = {
	{ "name", plainly },
	{ "descriptor", by_descriptor },
	{ "symbolic-link", by_symbolic_link },
	{ "hard-link", by_hard_link },
	{ "bind-mount", by_bind_mount },
	{ "interpreter", as_interpreter },
	{ "loader", by_loader },
	{ "copy", by_copy },
	{ "memory", from_memory },
	{ "memory-name", from_memory_by_name },
	{ "memory-loader", from_memory_by_loader },
	{ "removed", by_removed_file },
	{ "mount-of-removed", by_mount_of_removed_file },
	{ "nameless", from_nameless_file },
	{ "mapping", by_mapping },
};

static int execute(char **arguments)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (!strcmp(ways[i].name, arguments[0]))
			return ways[i].run(arguments[1]);
	return ENOSYS;
}

const struct deed execution_deeds[] = {
	{ "execute", "WAY PROGRAM", execute, 2 },
	{},
};
