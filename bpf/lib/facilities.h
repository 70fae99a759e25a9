/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_FACILITIES_H
#define SALLYPORT_FACILITIES_H

/* What the kernel offers beside files, mounts and sockets. */

#include "capabilities.h"

/* Of enum kernel_read_file_id and enum kernel_load_data_id, which agree. */
enum kernel_content {
	CONTENT_MODULE = 2,
	CONTENT_KEXEC_IMAGE = 3,
	CONTENT_KEXEC_INITRAMFS = 4,
	CONTENT_MODULE_COMPRESSED = 7,
};

#define FACILITY(name, operation)                          \
	int BPF_PROG(name)                                 \
	{                                                  \
		struct bearer *bearer;                     \
		int refused = bearer_now(&bearer);         \
                                                           \
		if (!bearer)                               \
			return refused;                    \
		return judge_operation(bearer, operation); \
	}

SEC("lsm/bpf")
FACILITY(use_bpf, OPERATION_BPF)

SEC("lsm/perf_event_open")
FACILITY(open_perf_event, OPERATION_PERF)

SEC("lsm/uring_allowed")
FACILITY(make_ring, OPERATION_IO_URING)

SEC("lsm/uring_cmd")
FACILITY(command_ring, OPERATION_IO_URING)

SEC("lsm/kernel_module_request")
FACILITY(request_module, OPERATION_MODULE)

SEC("lsm/key_alloc")
FACILITY(make_key, OPERATION_KEYRING)

SEC("lsm/key_permission")
FACILITY(use_key, OPERATION_KEYRING)

SEC("lsm/syslog")
FACILITY(read_kernel_log, OPERATION_SYSLOG)

SEC("lsm/settime")
FACILITY(set_time, OPERATION_SETTIME)

static __always_inline int judge_content(struct bearer *bearer, int content)
{
	switch (content) {
	case CONTENT_MODULE:
	case CONTENT_MODULE_COMPRESSED:
		return judge_operation(bearer, OPERATION_MODULE);
	case CONTENT_KEXEC_IMAGE:
	case CONTENT_KEXEC_INITRAMFS:
		return judge_operation(bearer, OPERATION_KEXEC);
	}
	return 0;
}

SEC("lsm/kernel_read_file")
int BPF_PROG(read_for_kernel, struct file *file, int content)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	return judge_content(bearer, content);
}

SEC("lsm/kernel_load_data")
int BPF_PROG(load_for_kernel, int content)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	return judge_content(bearer, content);
}

/* A ring that lends credentials: those of a thread of its own, or registered ones. */
SEC("lsm/uring_sqpoll")
int BPF_PROG(make_polled_ring)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct bearer *bearer;
	int outcome = bearer_now(&bearer);

	if (!bearer)
		return outcome;
	outcome = judge_operation(bearer, OPERATION_IO_URING);
	return outcome ?: judge_lending(bearer, task->cred);
}

SEC("lsm/uring_override_creds")
int BPF_PROG(borrow_credentials, const struct cred *cred)
{
	struct bearer *bearer;
	int outcome = bearer_now(&bearer);

	if (!bearer)
		return outcome;
	outcome = judge_operation(bearer, OPERATION_IO_URING);
	return outcome ?: judge_lending(bearer, cred);
}

#define RING "[io_uring]"
#define USERFAULT "[userfaultfd]"

/* Nameless files are known by what the kernel calls them. */
SEC("lsm/inode_init_security_anon")
int BPF_PROG(make_nameless, struct inode *inode, const struct qstr *name)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);
	char text[16] = {};

	if (!bearer)
		return refused;
	if (bpf_probe_read_kernel_str(text, sizeof(text), BPF_CORE_READ(name, name)) <= 0)
		return 0;
	if (!__builtin_memcmp(text, RING, sizeof(RING)))
		return judge_operation(bearer, OPERATION_IO_URING);
	if (!__builtin_memcmp(text, USERFAULT, sizeof(USERFAULT)))
		return judge_operation(bearer, OPERATION_USERFAULTFD);
	return 0;
}

#endif
