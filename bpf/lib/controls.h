/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_CONTROLS_H
#define SALLYPORT_CONTROLS_H

/*
 * What is asked of an open file by ioctl(2), and nobody else is asked about: whom it signals, and the attributes that
 * file systems have beside mode and owner (immutable, append-only, project …; from 6.17 there is a hook for those).
 */

#include "others.h"

/* Numbers of the request: its direction and size, as most architectures have them, then letter and number. */
#define REQUEST(command) ((command) & 0xffff)
#define SET_VERSION 0x7602    /* FS_IOC_SETVERSION, FS_IOC32_SETVERSION */
#define SET_FLAGS 0x6602      /* FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS */
#define SET_ATTRIBUTES 0x5820 /* FS_IOC_FSSETXATTR */
#define TO_KERNEL 0x40000000

static __always_inline bool sets_attributes(unsigned int command)
{
	__u32 request = REQUEST(command);

	return command & TO_KERNEL &&
	       (request == SET_FLAGS || request == SET_ATTRIBUTES || request == SET_VERSION);
}

static __always_inline int judge_flags(struct file *file)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	return bearer ? judge_path(bearer, &file->f_path, ACCESS(ACCESS_ATTRIBUTES)) : refused;
}

#define CONTROL(name)                                                      \
	int BPF_PROG(name, struct file *file, unsigned int command)        \
	{                                                                  \
		if (command == FIOSETOWN || command == SIOCSPGRP)          \
			return judge_owner(false, 0);                      \
		if (unlikely(sets_attributes(command)))                    \
			return judge_flags(file);                          \
		return 0;                                                  \
	}

SEC("lsm/file_ioctl")
CONTROL(control_file)

/* Of 32-bit programs, on kernels that ask about them apart. */
SEC("lsm/file_ioctl_compat")
CONTROL(control_file_old)

#endif
