#ifndef DEEDS_H
#define DEEDS_H

/* One act a hardening rule may be about. Returns 0, or what errno said of the step that failed. */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

struct deed {
	const char *name;
	const char *arguments;
	int (*act)(char **arguments);
	int count; /* of arguments that must be there */
};

/* For system calls: errno where it failed. */
static inline int failed(long result)
{
	return result < 0 ? errno : 0;
}

extern const struct deed capability_deeds[], facility_deeds[], memory_deeds[], mount_deeds[], other_deeds[],
	socket_deeds[], local_deeds[], ring_deeds[], file_deeds[], execution_deeds[], privilege_deeds[],
	circumstance_deeds[], passing_deeds[];

/* NULL where nothing is called so. */
const struct deed *find_deed(const char *name);

/* Has these capabilities only, from now on. */
int keep_capabilities(unsigned long long capabilities);

/* Acts in user, network, mount, process, IPC and cgroup namespaces of its own. */
int in_namespaces(int (*act)(char **), char **arguments);

/* Each needs a capability of its own. */
int write_audit(void);
int read_audit(void);
int change_login(void);

/* Opens a ring and has it do one thing: errno, and what the kernel answered. */
struct io_uring_sqe;
int ring_do(const struct io_uring_sqe *entry, int *result);

#endif
