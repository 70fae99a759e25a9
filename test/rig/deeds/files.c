/* Files, and the ways there are to one: `open r|w|rw WAY PATH`. */
#include "deeds.h"
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static int mode_of(const char *text)
{
	return !strcmp(text, "r") ? O_RDONLY : !strcmp(text, "w") ? O_WRONLY : O_RDWR;
}

static int opened(int fd)
{
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/* Splits a path into its directory, which is changed into, and the name that is returned. */
static const char *enter_directory(const char *path)
{
	static char directory[4096];
	char *slash;

	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (!slash)
		return path;
	*slash = 0;
	return chdir(slash == directory ? "/" : directory) ? NULL : slash + 1;
}

static int by_name(int mode, const char *path)
{
	return opened(open(path, mode | O_CLOEXEC));
}

static int by_hard_link(int mode, const char *path)
{
	char other[4200];
	int error;

	snprintf(other, sizeof(other), "%s.linked", path);
	if (link(path, other))
		return errno;
	error = by_name(mode, other);
	unlink(other);
	return error;
}

static int by_symbolic_link(int mode, const char *path)
{
	int error;

	unlink("/tmp/deed-link");
	if (symlink(path, "/tmp/deed-link"))
		return errno;
	error = by_name(mode, "/tmp/deed-link");
	unlink("/tmp/deed-link");
	return error;
}

/* A descriptor that may do nothing, opened again. */
static int by_descriptor(int mode, const char *path)
{
	char other[64];
	int fd = open(path, O_PATH);

	if (fd < 0)
		return errno;
	snprintf(other, sizeof(other), "/proc/self/fd/%d", fd);
	return by_name(mode, other);
}

/* From the directory, by the bare name. */
static int by_directory(int mode, const char *path)
{
	const char *name = enter_directory(path);

	return name ? by_name(mode, name) : errno;
}

static int by_changed_root(int mode, const char *path)
{
	const char *name = enter_directory(path);

	return !name || chroot(".") ? errno : by_name(mode, name);
}

/* Through the magic link of a process. */
static int by_process_root(int mode, const char *path)
{
	char other[4200];

	snprintf(other, sizeof(other), "/proc/self/root%s", path);
	return by_name(mode, other);
}

/* The directory mounted elsewhere, in a mount namespace of its own. */
static int by_bind_mount(int mode, const char *path)
{
	const char *name = enter_directory(path);
	char other[4200];

	mkdir("/tmp/deed-bind", 0700);
	if (!name || unshare(CLONE_NEWNS) || mount(".", "/tmp/deed-bind", NULL, MS_BIND, NULL))
		return errno;
	snprintf(other, sizeof(other), "/tmp/deed-bind/%s", name);
	return by_name(mode, other);
}

/* The directory called otherwise. */
static int by_renamed_parent(int mode, const char *path)
{
	char directory[4096], renamed[4200], other[8400], *slash;
	int error;

	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	*slash = 0;
	snprintf(renamed, sizeof(renamed), "%s.renamed", directory);
	if (rename(directory, renamed))
		return errno;
	snprintf(other, sizeof(other), "%s/%s", renamed, slash + 1);
	error = by_name(mode, other);
	rename(renamed, directory);
	return error;
}

/* Moved away, and back. */
static int by_renaming(int mode, const char *path)
{
	char other[4200];
	int error;

	snprintf(other, sizeof(other), "%s.moved", path);
	if (rename(path, other))
		return errno;
	error = by_name(mode, other);
	rename(other, path);
	return error;
}

/* A fresh mount of the file system below whose first directory the path lies: `/proc/...`, `/sys/...`. */
static int by_fresh_mount(int mode, const char *path)
{
	int proc = !strncmp(path, "/proc/", 6);
	char other[4200];

	mkdir("/tmp/deed-mount", 0700);
	if (unshare(CLONE_NEWNS) || mount("none", "/tmp/deed-mount", proc ? "proc" : "sysfs", 0, NULL))
		return errno;
	snprintf(other, sizeof(other), "/tmp/deed-mount%s", strchr(path + 1, '/'));
	return by_name(mode, other);
}

/* By io_uring, in a worker of the kernel's. */
static int by_ring(int mode, const char *path)
{
	struct io_uring_sqe entry = { .opcode = IORING_OP_OPENAT,
				      .fd = AT_FDCWD,
				      .addr = (unsigned long)path,
				      .open_flags = mode,
				      .flags = IOSQE_ASYNC };
	int result = 0, error = ring_do(&entry, &result);

	return error ?: result < 0 ? -result : 0;
}

static const struct {
	const char *name;
	int (*open)(int mode, const char *path);
} ways[] = {
	{ "name", by_name },
	{ "hard-link", by_hard_link },
	{ "symbolic-link", by_symbolic_link },
	{ "descriptor", by_descriptor },
	{ "directory", by_directory },
	{ "changed-root", by_changed_root },
	{ "process-root", by_process_root },
	{ "bind-mount", by_bind_mount },
	{ "renamed-parent", by_renamed_parent },
	{ "renaming", by_renaming },
	{ "fresh-mount", by_fresh_mount },
	{ "ring", by_ring },
};

static int open_file(char **arguments)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (!strcmp(ways[i].name, arguments[1]))
			return ways[i].open(mode_of(arguments[0]), arguments[2]);
	return ENOSYS;
}

/* Made if it is not there; left as it was. */
static int create(char **arguments)
{
	int fd = open(arguments[0], O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (fd < 0)
		return errno;
	close(fd);
	return failed(unlink(arguments[0]));
}

static int make_directory(char **arguments)
{
	return failed(mkdir(arguments[0], 0755)) ?: failed(rmdir(arguments[0]));
}

static int shorten(char **arguments)
{
	return failed(truncate(arguments[0], 0));
}

/* To another name and back. */
static int move_file(char **arguments)
{
	return failed(rename(arguments[0], arguments[1])) ?: failed(rename(arguments[1], arguments[0]));
}

/* A file made elsewhere takes the name of the other, which is kept. */
static int replace(char **arguments)
{
	char made[4200], kept[4200];
	int fd, error;

	snprintf(made, sizeof(made), "/var/deed-made-%d", getpid());
	snprintf(kept, sizeof(kept), "/var/deed-kept-%d", getpid());
	fd = open(made, O_WRONLY | O_CREAT, 0644);
	if (fd < 0)
		return errno;
	close(fd);
	if (!access(arguments[0], F_OK) && link(arguments[0], kept)) {
		error = errno;
		unlink(made);
		return error;
	}
	error = failed(rename(made, arguments[0]));
	unlink(made);
	if (rename(kept, arguments[0]))
		unlink(arguments[0]);
	return error;
}

static int link_elsewhere(char **arguments)
{
	return failed(link(arguments[0], arguments[1])) ?: failed(unlink(arguments[1]));
}

static int change_mode(char **arguments)
{
	return failed(chmod(arguments[0], strtoul(arguments[1], NULL, 8)));
}

/* By a descriptor, as another call. */
static int change_mode_of_descriptor(char **arguments)
{
	int fd = open(arguments[0], O_RDONLY);

	return fd < 0 ? errno : failed(fchmod(fd, strtoul(arguments[1], NULL, 8)));
}

static int change_owner_of(char **arguments)
{
	return failed(lchown(arguments[0], atoi(arguments[1]), -1));
}

static int set_attribute(char **arguments)
{
	return failed(setxattr(arguments[0], arguments[1], "x", 1, 0));
}

/* PATH KIND MAJOR MINOR; removed at once. */
static int make_node(char **arguments)
{
	mode_t kind = *arguments[1] == 'b' ? S_IFBLK : *arguments[1] == 'c' ? S_IFCHR : S_IFIFO;

	return failed(mknod(arguments[0], kind | 0600, makedev(atoi(arguments[2]), atoi(arguments[3])))) ?:
	       failed(unlink(arguments[0]));
}

/* A device by a node of our own: MODE KIND MAJOR MINOR. */
/* A file from another directory comes into this one, under a name that was free. */
static int move_in(char **arguments)
{
	char from[4096], to[4096];

	snprintf(from, sizeof(from), "%s/loose-%d", arguments[0], getpid());
	snprintf(to, sizeof(to), "%s/moved-%d", arguments[1], getpid());
	return failed(mknod(from, S_IFREG | 0600, 0)) ?: failed(rename(from, to));
}

static int open_node(char **arguments)
{
	const char *path = "/tmp/deed-node";
	mode_t kind = *arguments[1] == 'b' ? S_IFBLK : S_IFCHR;
	int error;

	unlink(path);
	if (mknod(path, kind | 0600, makedev(atoi(arguments[2]), atoi(arguments[3]))))
		return errno;
	error = by_name(mode_of(arguments[0]), path);
	unlink(path);
	return error;
}

/* Removed, then put back empty. */
static int remove_file(char **arguments)
{
	int fd;

	if (unlink(arguments[0]))
		return errno;
	fd = open(arguments[0], O_WRONLY | O_CREAT, 0644);
	close(fd);
	return 0;
}

const struct deed file_deeds[] = {
	{ "open", "r|w|rw WAY PATH", open_file, 3 },
	{ "create", "PATH", create, 1 },
	{ "mkdir", "PATH", make_directory, 1 },
	{ "truncate", "PATH", shorten, 1 },
	{ "rename", "FROM TO", move_file, 2 },
	{ "replace", "PATH", replace, 1 },
	{ "link", "FROM TO", link_elsewhere, 2 },
	{ "chmod", "PATH MODE", change_mode, 2 },
	{ "fchmod", "PATH MODE", change_mode_of_descriptor, 2 },
	{ "lchown", "PATH USER", change_owner_of, 2 },
	{ "setxattr", "PATH NAME", set_attribute, 2 },
	{ "mknod", "PATH b|c|p MAJOR MINOR", make_node, 4 },
	{ "move-in", "FROM TO", move_in, 2 },
	{ "open-node", "r|w|rw b|c MAJOR MINOR", open_node, 4 },
	{ "remove", "PATH", remove_file, 1 },
	{},
};
