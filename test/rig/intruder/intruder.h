#ifndef INTRUDER_H
#define INTRUDER_H

/* What may be tried on files. Each try returns 0, or what errno said of the step that failed. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct try {
	const char *name;
	int count; /* of arguments */
	int (*act)(char **arguments);
};

extern const struct try plain_tries[], way_tries[];

/* For system calls: errno where it failed. */
static inline int failed(long result)
{
	return result < 0 ? errno : 0;
}

/* Opens relative to a directory and reads a byte. */
int read_at(int directory, const char *path);

/* Does one try of any table. */
int perform(char **words);

#endif
