/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * harden: what containers may do to their host and to themselves, judged by LSM hooks. A hook finds out whose task asks
 * (bearer.h), where what it asks for lies in the container's own tree (canonical.h), what the container's profile says
 * of that place (automaton.h) and whom it says it for (ruling.h), and counts and tells what was not simply allowed
 * (violation.h). Tasks of no hardened container are let be before anything of this; tasks whose container has lost its
 * profile are refused all of it.
 *
 *   header               hooks                                                       judges
 *   harden-entry         task_alloc; tracepoints sched_process_fork,                 nothing: who bears what
 *                        cgroup_attach_task, _mkdir, _rmdir; the iterator of tasks
 *   harden-files         file_open, file_permission, file_receive, path_truncate,    read, write; disks; descriptors of
 *                        file_truncate                                               others
 *   harden-names         path_mkdir, _mknod, _symlink, _link, _rename, _unlink,      create, delete, attributes; what
 *                        _rmdir, _chmod, _chown, inode_*xattr, inode_*_acl           moving would let escape; setuid bits
 *   harden-exec          bprm_check_security, _creds_from_file, _committed_creds,    execute; memfds; memory; who the task
 *                        mmap_file, file_mprotect                                    is from now on
 *   capabilities, controls, mounts, others, facilities, users, destinations, local-sockets     say so themselves
 *
 * Read: hardened, hardened_subjects, profiles, anchors, settings. Written: bearers, judged_files, violations, incidents,
 * events, and hardened where cgroups come and go in a container's own.
 *
 * What it costs, in calls of kernel functions beside the hook itself:
 *   a task of no hardened container            2: its storage, its cgroup; 1 more in a thread
 *   any hook of a hardened one                 2: its storage, the profile's first page
 *   a file opened again                        2 more: the count of renames, the inode's storage
 *   a path                                     1 for each page of the automaton, 2 for each name that is read, and where it
 *                                              is not below the container's root mount, 1 or 2 for the anchor. The names
 *                                              above it are found by plain loads, 16 of them; deeper ones, and mounts the
 *                                              container has made itself, cost 3 for each name
 *   a rule that matches                        3, and where it is told, what it takes to spell two paths
 */

#include "lib/judge-path.h"
#include "lib/harden-entry.h"
#include "lib/harden-files.h"
#include "lib/harden-names.h"
#include "lib/harden-exec.h"
#include "lib/capabilities.h"
#include "lib/facilities.h"
#include "lib/local-sockets.h"
#include "lib/controls.h"
#include "lib/users.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
