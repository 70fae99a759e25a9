/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_EXECUTABLE_MEMORY_H
#define SALLYPORT_EXECUTABLE_MEMORY_H

/* Memory that is written and run: at once, one after the other, or through two mappings of what no file system holds. */

#include "judge-path.h"

static __always_inline bool is_memory(const struct file *file)
{
	return BPF_CORE_READ(file, f_inode, i_sb, s_flags) & SB_NOUSER;
}

/*
 * No directory holds it, or holds it no more: anonymous files, temporary ones, what was deleted. What is mounted has its
 * name there, whatever became of the one it had before.
 */
static __always_inline bool is_nameless(const struct path *path)
{
	return !BPF_CORE_READ(path, dentry, d_hash.pprev) && path->dentry != BPF_CORE_READ(path, mnt, mnt_root);
}

/* For mmap_file: 0 or -EPERM. Anonymous memory has no file. */
static __always_inline int judge_mapping(struct bearer *bearer, const struct file *file, bool anonymous,
					 unsigned long protection)
{
	if (!(protection & PROT_EXEC))
		return 0;
	if (!(protection & PROT_WRITE) && (anonymous || !file || !is_memory(file)))
		return 0;
	return judge_operation(bearer, OPERATION_WRITABLE_EXECUTE);
}

/* For file_mprotect. What has an anon_vma was written, or is a copy of what was. */
static __always_inline int judge_protection(struct bearer *bearer, const struct vm_area_struct *area,
					    unsigned long protection)
{
	const struct file *file = area->vm_file;

	if (!(protection & PROT_EXEC))
		return 0;
	if (!(protection & PROT_WRITE) && file && !area->anon_vma && !is_memory(file))
		return 0;
	return judge_operation(bearer, OPERATION_WRITABLE_EXECUTE);
}

#endif
