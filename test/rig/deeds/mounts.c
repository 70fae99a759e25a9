/* Mounts, in a mount namespace of the deed's own: nothing of it stays. */
#include "deeds.h"
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <linux/mount.h>

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

static int begin(void)
{
	return failed(unshare(CLONE_NEWNS)) ?: failed(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

/* A namespace whose mounts nobody has made private: that is a mount operation, too. */
static int begin_unchanged(void)
{
	return failed(unshare(CLONE_NEWNS));
}

/* TYPE SOURCE TARGET FLAGS, flags as the system call has them. */
static int mount_old(char **arguments)
{
	return begin_unchanged() ?:
	       failed(mount(arguments[1], arguments[2], arguments[0], strtoul(arguments[3], NULL, 0), NULL));
}

/* A file system mounted the new way. "ro" beside it: its superblock is read-only. */
static int mount_new(char **arguments)
{
	int context, mounted;

	if (begin_unchanged())
		return errno;
	context = syscall(SYS_fsopen, arguments[0], 0);
	if (context < 0)
		return errno;
	if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", arguments[0], 0))
		return errno;
	if (arguments[2] && syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, arguments[2], NULL, 0))
		return errno;
	if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return errno;
	mounted = syscall(SYS_fsmount, context, 0, arguments[2] ? MOUNT_ATTR_RDONLY : 0);
	if (mounted < 0)
		return errno;
	return failed(syscall(SYS_move_mount, mounted, "", AT_FDCWD, arguments[1], MOVE_MOUNT_F_EMPTY_PATH));
}

static int bind_old(char **arguments)
{
	return begin_unchanged() ?: failed(mount(arguments[0], arguments[1], NULL, MS_BIND, NULL));
}

/* Never attached: what was cloned is used through its descriptor. */
static int bind_new(char **arguments)
{
	return begin_unchanged() ?: failed(syscall(SYS_open_tree, AT_FDCWD, arguments[0], OPEN_TREE_CLONE));
}

/* A neighbour: a descriptor of a path, as O_PATH would give. */
static int open_tree_only(char **arguments)
{
	return begin_unchanged() ?: failed(syscall(SYS_open_tree, AT_FDCWD, arguments[0], 0));
}

static int remount_old(char **arguments)
{
	return begin_unchanged() ?:
	       failed(mount(NULL, arguments[0], NULL, MS_REMOUNT | strtoul(arguments[1], NULL, 0), NULL));
}

static int remount_new(char **arguments)
{
	int context;

	if (begin_unchanged())
		return errno;
	context = syscall(SYS_fspick, AT_FDCWD, arguments[0], 0);
	if (context < 0)
		return errno;
	return failed(syscall(SYS_fsconfig, context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
}

static int set_attributes(char **arguments)
{
	struct mount_attr attributes = { 0, MOUNT_ATTR_RDONLY, 0, 0 };

	return begin_unchanged() ?:
	       failed(syscall(SYS_mount_setattr, AT_FDCWD, arguments[0], 0, &attributes, sizeof(attributes)));
}

static int unmount(char **arguments)
{
	return begin() ?: failed(umount2(arguments[0], MNT_DETACH));
}

static int move(char **arguments)
{
	return begin() ?: failed(mount(arguments[0], arguments[1], NULL, MS_MOVE, NULL));
}

static int move_new(char **arguments)
{
	return begin() ?: failed(syscall(SYS_move_mount, AT_FDCWD, arguments[0], AT_FDCWD, arguments[1], 0));
}

static int propagate(char **arguments)
{
	return begin_unchanged() ?: failed(mount(NULL, arguments[0], NULL, MS_PRIVATE, NULL));
}

static int change_root(char **arguments)
{
	return failed(chroot(arguments[0]));
}

/* Into a tmpfs, which is a mount as pivot_root wants one. */
static int pivot(char **arguments)
{
	char old[256];

	if (begin() || mount("none", arguments[0], "tmpfs", 0, NULL))
		return ENODATA;
	snprintf(old, sizeof(old), "%s/old", arguments[0]);
	mkdir(old, 0700);
	return failed(syscall(SYS_pivot_root, arguments[0], old));
}

const struct deed mount_deeds[] = {
	{ "mount", "TYPE SOURCE TARGET FLAGS", mount_old, 4 },
	{ "mount-new", "TYPE TARGET [ro]", mount_new, 2 },
	{ "bind", "SOURCE TARGET", bind_old, 2 },
	{ "open-tree-clone", "PATH", bind_new, 1 },
	{ "open-tree", "PATH", open_tree_only, 1 },
	{ "remount", "TARGET FLAGS", remount_old, 2 },
	{ "remount-new", "TARGET", remount_new, 1 },
	{ "mount-setattr", "TARGET", set_attributes, 1 },
	{ "umount", "TARGET", unmount, 1 },
	{ "move", "SOURCE TARGET", move, 2 },
	{ "move-new", "SOURCE TARGET", move_new, 2 },
	{ "propagate", "TARGET", propagate, 1 },
	{ "chroot", "PATH", change_root, 1 },
	{ "pivot-root", "DIRECTORY", pivot, 1 },
	{},
};
