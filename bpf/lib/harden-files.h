/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_HARDEN_FILES_H
#define SALLYPORT_HARDEN_FILES_H

/* Opening files, and using those that were opened before anybody judged them. */

#include "judge-path.h"

static __always_inline __u32 accesses_of(const struct file *file)
{
	__u32 mode = file->f_mode;

	return (mode & FMODE_READ ? ACCESS(ACCESS_READ) : 0) | (mode & FMODE_WRITE ? ACCESS(ACCESS_WRITE) : 0);
}

SEC("lsm/file_open")
int BPF_PROG(open_file, struct file *file)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	return judge_path(bearer, &file->f_path, accesses_of(file));
}

#endif
