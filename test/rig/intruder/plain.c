/* One system call each, the way everybody does it. */

#define _GNU_SOURCE
#include "intruder.h"
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

int read_at(int directory, const char *path)
{
	char byte;
	int file = openat(directory, path, O_RDONLY);
	struct stat status;

	if (file < 0)
		return errno;
	if (!fstat(file, &status) && S_ISDIR(status.st_mode))
		return 0;
	return failed(read(file, &byte, 1));
}

static int read_file(char **arguments)
{
	return read_at(AT_FDCWD, arguments[0]);
}

static int open_with(const char *path, int flags)
{
	int file = open(path, flags, 0644);

	return file < 0 ? errno : failed(close(file));
}

static int write_file(char **arguments)
{
	return open_with(arguments[0], O_WRONLY);
}

static int append_file(char **arguments)
{
	return open_with(arguments[0], O_WRONLY | O_APPEND);
}

static int create_file(char **arguments)
{
	return open_with(arguments[0], O_WRONLY | O_CREAT | O_EXCL);
}

static int cut_on_open(char **arguments)
{
	return open_with(arguments[0], O_RDONLY | O_TRUNC);
}

static int cut(char **arguments)
{
	return failed(truncate(arguments[0], 1));
}

static int cut_open(char **arguments)
{
	int file = open(arguments[0], O_RDWR);

	return file < 0 ? errno : failed(ftruncate(file, 1));
}

static int remove_it(char **arguments)
{
	return failed(unlink(arguments[0]));
}

static int remove_directory(char **arguments)
{
	return failed(rmdir(arguments[0]));
}

static int make_directory(char **arguments)
{
	return failed(mkdir(arguments[0], 0755));
}

/* PATH p, s, b or c */
static int make_node(char **arguments)
{
	mode_t type = *arguments[1] == 'p' ? S_IFIFO : *arguments[1] == 's' ? S_IFSOCK :
		      *arguments[1] == 'b' ? S_IFBLK : S_IFCHR;

	return failed(mknod(arguments[0], type | 0600, type == S_IFBLK ? makedev(7, 0) : makedev(1, 3)));
}

static int make_symlink(char **arguments)
{
	return failed(symlink(arguments[0], arguments[1]));
}

static int make_link(char **arguments)
{
	return failed(link(arguments[0], arguments[1]));
}

static int move(char **arguments)
{
	return failed(rename(arguments[0], arguments[1]));
}

static int exchange(char **arguments)
{
	return failed(renameat2(AT_FDCWD, arguments[0], AT_FDCWD, arguments[1], RENAME_EXCHANGE));
}

static int change_mode(char **arguments)
{
	return failed(chmod(arguments[0], strtoul(arguments[1], NULL, 8)));
}

static int change_mode_open(char **arguments)
{
	int file = open(arguments[0], O_RDONLY);

	return file < 0 ? errno : failed(fchmod(file, strtoul(arguments[1], NULL, 8)));
}

/* PATH: sets its flags to what they are; file systems that have none say so when they are asked. */
static int change_flags(char **arguments)
{
	int file = open(arguments[0], O_RDONLY), flags = 0;

	if (file < 0)
		return errno;
	ioctl(file, FS_IOC_GETFLAGS, &flags);
	return failed(ioctl(file, FS_IOC_SETFLAGS, &flags));
}

/* PATH: the same of all that FS_IOC_FSSETXATTR sets */
static int change_project(char **arguments)
{
	int file = open(arguments[0], O_RDONLY);
	struct fsxattr attributes = {};

	if (file < 0)
		return errno;
	ioctl(file, FS_IOC_FSGETXATTR, &attributes);
	return failed(ioctl(file, FS_IOC_FSSETXATTR, &attributes));
}

static int change_owner(char **arguments)
{
	return failed(chown(arguments[0], 1, 1));
}

static int set_attribute(char **arguments)
{
	return failed(setxattr(arguments[0], arguments[1], "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, 0));
}

static int remove_attribute(char **arguments)
{
	return failed(removexattr(arguments[0], arguments[1]));
}

/* What `run` left: the error of the exec, or the end of what was run. */
static int outcome(pid_t child)
{
	int status;

	if (child < 0)
		return errno;
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EFAULT;
}

/* PATH ARGUMENT...; what is run ends with an errno as its status. */
static int run(char **arguments)
{
	pid_t child = fork();

	if (!child) {
		execv(arguments[0], arguments);
		_exit(errno);
	}
	return outcome(child);
}

static int run_open_file(int file, char **arguments)
{
	pid_t child = fork();

	if (!child) {
		syscall(SYS_execveat, file, "", arguments, environ, AT_EMPTY_PATH);
		_exit(errno);
	}
	return outcome(child);
}

static int run_by_descriptor(char **arguments)
{
	int file = open(arguments[0], O_PATH);

	return file < 0 ? errno : run_open_file(file, arguments);
}

/* A copy of it in a file of memory. */
static int run_from_memory(char **arguments)
{
	int source = open(arguments[0], O_RDONLY), file = memfd_create("intruder", 0);
	char buffer[65536];
	ssize_t size;

	if (source < 0 || file < 0)
		return errno;
	while ((size = read(source, buffer, sizeof(buffer))) > 0)
		if (write(file, buffer, size) != size)
			return errno;
	return run_open_file(file, arguments);
}

/* As a dynamic loader does it. */
static int map_executable(char **arguments)
{
	int file = open(arguments[0], O_RDONLY);

	if (file < 0)
		return errno;
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) == MAP_FAILED ? errno : 0;
}

static int make_executable(char **arguments)
{
	int file = open(arguments[0], O_RDONLY);
	void *page;

	if (file < 0)
		return errno;
	page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
	return page == MAP_FAILED ? errno : failed(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int become(char **arguments)
{
	unsigned int user = atoi(arguments[0]);

	if (setresgid(user, user, user) || setresuid(user, user, user))
		return errno;
	return perform(arguments + 1);
}

const struct try plain_tries[] = {
	{ "read", 1, read_file },
	{ "write", 1, write_file },
	{ "append", 1, append_file },
	{ "create", 1, create_file },
	{ "cut-on-open", 1, cut_on_open },
	{ "cut", 1, cut },
	{ "cut-open", 1, cut_open },
	{ "unlink", 1, remove_it },
	{ "rmdir", 1, remove_directory },
	{ "mkdir", 1, make_directory },
	{ "mknod", 2, make_node },
	{ "symlink", 2, make_symlink },
	{ "link", 2, make_link },
	{ "rename", 2, move },
	{ "exchange", 2, exchange },
	{ "chmod", 2, change_mode },
	{ "fchmod", 2, change_mode_open },
	{ "chown", 1, change_owner },
	{ "change-flags", 1, change_flags },
	{ "change-project", 1, change_project },
	{ "setxattr", 2, set_attribute },
	{ "removexattr", 2, remove_attribute },
	{ "run", 1, run },
	{ "run-descriptor", 1, run_by_descriptor },
	{ "run-memory", 1, run_from_memory },
	{ "map", 1, map_executable },
	{ "protect", 1, make_executable },
	{ "as", 2, become },
	{ NULL, 0, NULL },
};
