/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_API_HARDEN_H
#define SALLYPORT_API_HARDEN_H

/*
 * Hardening: what a container may do to its host.
 *
 *   task -> bearer        task storage: whose container a task is of; inherited by fork, never shed
 *   cgroup -> subject     hardened: cgroups of hardened containers, and those made in them
 *   subject -> profile    profiles: array of maps; a profile is an array of pages, swapped whole
 *
 * Page 0 of a profile is struct profile. The other pages hold cells of the automaton, matches and rulings:
 *
 *   automaton   A state is a row of a page: its number is page << 11 | base. cells[base] is its head: `next` is where
 *               bytes lead that have no transition of their own (0: nowhere), `owner` the match. cells[base + byte]
 *               is the transition by that byte, if its `owner` is the base.
 *   match       What rules say of a path: for each access a list of rulings.
 *   ruling      For whom, what, and by which rule. The first of a list that fits counts.
 *   moving      To link or rename is refused by what the object could be used for at its destination only: an access
 *               that whoever moves it is denied where it lies, and not there. A directory is also refused by `moving`
 *               of the source, if the source guards what the destination does not keep.
 *
 * The automaton reads the canonical path: where the object lies in the container's own tree, by whatever way it was
 * reached. `anchors` tells where the roots of the container's mounts lie; what none of them leads to is read by the
 * mounts it was reached through. Names of abstract UNIX sockets are read as "@name".
 */

#include "event.h"

enum profile_format {
	PROFILE_PAGE_BYTES = 16384,
	PROFILE_CELLS = 2048,    /* of a page */
	PROFILE_CELL_BITS = 11,
	MATCH_HEAD = 0x40000000, /* in the owner of a head, so that it is no transition's */
	MATCH_SINK = 0x20000000, /* every byte leads back to this state: nothing more need be read */
	MATCH_BITS = 0x1fffffff, /* page << 16 | number of the match in its page */
	RULINGS_SHIFT = 16,      /* page << 16 | number of the first ruling in its page */
	PROFILE_SOCKETS = 64,
	PROFILE_MOUNTS = 64,
	PROFILE_NETWORKS = 64,
	CONTAINER_CGROUPS = 1024, /* of one container, beside its own, that are listed; others are known by those above */
	ANCHOR_BYTES = 248,
	ANCESTORS = 4,
	VIOLATION_PATH = 512,
};

/* What is done to an object that has a path. */
enum access {
	ACCESS_READ = 0,
	ACCESS_WRITE = 1,      /* its content; truncation too */
	ACCESS_CREATE = 2,     /* a name: files, directories, devices, links, what is renamed to it */
	ACCESS_DELETE = 3,     /* a name: unlinked, removed, renamed from it */
	ACCESS_ATTRIBUTES = 4, /* mode, owner, extended attributes */
	ACCESS_EXECUTE = 5,    /* run, or mapped to be run */
	ACCESS_MOUNT = 6,      /* mounted on, unmounted, moved */
	ACCESS_CONNECT = 7,    /* UNIX sockets, abstract ones too: connected or sent to */
	ACCESS_BIND = 8,       /* the same: bound */
	ACCESS_MAX = 9,
};

/* What is done that has no path. */
enum operation {
	OPERATION_PTRACE = 0,            /* any other task */
	OPERATION_PTRACE_OUTSIDE = 1,    /* a task of no, or of another, container; reading its /proc files too */
	OPERATION_USER_NAMESPACE = 2,    /* create one */
	OPERATION_BPF = 3,               /* bpf(2) */
	OPERATION_PERF = 4,              /* perf_event_open(2) */
	OPERATION_IO_URING = 5,          /* io_uring_setup(2) */
	OPERATION_USERFAULTFD = 6,
	OPERATION_MODULE = 7,            /* load a kernel module, or make the kernel request one */
	OPERATION_KEXEC = 8,
	OPERATION_KEYRING = 9,           /* make or use a key */
	OPERATION_MEMFD_EXECUTE = 10,    /* run what no file system holds */
	OPERATION_SETUID_EXECUTE = 11,   /* run a file that changes user, group or capabilities */
	OPERATION_SETUID_MODE = 12,      /* set the setuid or setgid bit of a file */
	OPERATION_BECOME_ROOT = 13,      /* a user other than root becomes root */
	OPERATION_DISK_READ = 14,        /* open a block device, or another that takes a disk's commands */
	OPERATION_DISK_WRITE = 15,
	OPERATION_DEVICE_NODE = 16,      /* make a device node */
	OPERATION_CHROOT = 17,
	OPERATION_PIVOT_ROOT = 18,
	OPERATION_FOREIGN_DESCRIPTOR = 19, /* receive a descriptor of a file that lies outside the container's mounts */
	OPERATION_WRITABLE_EXECUTE = 20, /* make memory both writable and executable, or executable after it was written */
	OPERATION_SYSLOG = 21,           /* read the kernel's log */
	OPERATION_SETTIME = 22,
	OPERATION_SIGNAL_OUTSIDE = 23,   /* signal, or limit, a task of no, or of another, container; have the kernel do it */
	OPERATION_MAX = 64,
};

enum mount_operation {
	MOUNT_NEW = 1,         /* of a file system */
	MOUNT_BIND = 2,
	MOUNT_REMOUNT = 4,
	MOUNT_MOVE = 8,
	MOUNT_PROPAGATION = 16,
	MOUNT_UNMOUNT = 32,
};

enum mount_flags {
	MOUNT_WRITABLE = 1, /* only what is not read-only */
	MOUNT_DEVICE = 2,   /* only file systems on block devices */
};

/*
 * Lists end with the first whose executables is 0. A verdict of VERDICT_NONE leaves the question to those that follow, so
 * that for tasks with several executables each layer has its own answer: what fits gives what it says of either layer
 * that none before it gave.
 */
struct ruling {
	__u64 executables; /* bits; 0: whatever runs, else only what one of them is, or has started */
	__u32 rule;        /* 0: the default of the class */
	__u32 staged_rule;
	__u8 verdict;      /* enum verdict: deny, alert, allow */
	__u8 staged_verdict;
	__u8 pad[14];
};

struct match {
	__u32 rulings[ACCESS_MAX]; /* by enum access; 0: the default of the access */
	__u32 moving;              /* of a directory, to where other rules hold for what lies below; 0: allowed */
	__u32 executables[2];      /* in the automaton of executables: the bits, low and high */
	__u32 guards;              /* 1 << enum access: what is denied to somebody anywhere below */
	__u32 keeps;               /* what is denied to everybody everywhere below */
	__u32 pad[2];
};

struct cell {
	__u32 next;
	__u32 owner;
};

/* Any number in the field: 0xffff. */
struct socket_rule {
	__u16 family;
	__u16 type;
	__u16 protocol;
	__u16 pad;
	__u32 rulings; /* 0: end of the list */
};

struct mount_rule {
	__u32 operations; /* enum mount_operation */
	__u32 flags;      /* enum mount_flags */
	__u8 type[16];    /* file system, zero-filled; empty: any */
	__u32 rulings;    /* 0: end of the list */
	__u32 pad;
};

/* Whom a connection or datagram goes to; IPv4 as mapped addresses. */
struct network_rule {
	struct address network;
	__u16 prefix; /* of 128 */
	__u16 port;     /* host byte order; 0 to 65535: any */
	__u16 end_port;
	__u8 protocol;  /* 0: any */
	__u8 pad;
	__u32 rulings;  /* 0: end of the list */
};

/* Page 0. Zero in a field of rulings: allowed. */
struct profile {
	__u64 id;                 /* hash of the content */
	__u64 lasting;            /* executables whose bits what they start keeps */
	__u32 start;              /* of the automaton of paths */
	__u32 start_executables;  /* of that of executables; 0: there are none */
	__u32 accesses;           /* 1 << enum access: what any rule or default is about */
	__u32 pages;
	__u32 defaults[ACCESS_MAX];
	__u32 socket_default;
	__u32 mount_default;
	__u32 network_default;
	__u32 capabilities[2][64]; /* [1]: in a user namespace of the container's own */
	__u32 operations[OPERATION_MAX];
	struct socket_rule sockets[PROFILE_SOCKETS];
	struct mount_rule mounts[PROFILE_MOUNTS];
	struct network_rule networks[PROFILE_NETWORKS];
	__u32 moving_default; /* as match.moving, guards and keeps, of what has no match */
	__u32 default_guards;
	__u32 default_keeps;
	__u32 learning; /* not 0: each different thing that staged rules report is told, however many; the recording's number */
};

union profile_page {
	struct profile head;
	struct cell cells[PROFILE_CELLS];
	struct match matches[PROFILE_PAGE_BYTES / sizeof(struct match)];
	struct ruling rulings[PROFILE_PAGE_BYTES / sizeof(struct ruling)];
	__u8 bytes[PROFILE_PAGE_BYTES];
};

enum subject_flags {
	SUBJECT_UNSETTLED = 1, /* nobody's, and what belongs to it is being written, or deleted */
};

/* Key: subject. */
struct hardened_subject {
	__u64 instance;  /* of the container; a bearer of another one is an orphan, and denied all */
	__u64 root_inode; /* of the container's root mount's root; 0: of its file system's */
	__u32 root_device;
	__u32 flags;     /* enum subject_flags */
	__u32 cgroups;   /* that the container has made and are listed as its own; kernel */
	__u32 pad;
};

/* Key: cgroup id. */
struct hardened_cgroup {
	__u64 instance;
	__u32 subject;
	__u32 pad;
};

/* Which directory of which file system; inode 0: its root. subject 0, inode ~0: by the file system's magic number. */
struct anchor_key {
	__u64 inode;
	__u32 device;
	__u32 subject;
};

struct anchor {
	__u32 length;
	__u32 pad;
	__u8 path[ANCHOR_BYTES]; /* where it lies in the container's tree; "" for the root */
};

enum bearer_flags {
	BEARER_OLD_FILES = 1, /* may hold descriptors from before the profile: they are judged when used */
	BEARER_RENEWED = 2,   /* a new profile was met since the exec that goes on was recognised by the former one */
};

/* What is judged; tells what `detail` of a violation is. */
enum hardening_class {
	CLASS_FILE = 1,       /* enum access, and the path */
	CLASS_CAPABILITY = 2, /* number; 64 added in a user namespace */
	CLASS_OPERATION = 3,  /* enum operation */
	CLASS_SOCKET = 4,     /* family << 32 | type << 16 | protocol */
	CLASS_MOUNT = 5,      /* enum mount_operation, and the path */
	CLASS_NETWORK = 6,    /* protocol << 16 | port, and the address in the path's first 16 bytes */
	CLASS_ORPHAN = 7,     /* a task whose container has no profile any more */
};

struct ancestor {
	__u32 pid;
	__u8 name[16];
};

/* EVENT_VIOLATION */
struct violation_event {
	struct event_head head;
	__u64 instance;
	__u64 cgroup;
	__u64 detail;
	__u64 executables;
	__u32 subject;
	__u32 rule;
	__u32 staged_rule;
	__u32 suppressed; /* of this rule and subject since the last that was told */
	__u32 pid;        /* thread group */
	__u32 thread;
	__u32 user;
	__u8 verdict;
	__u8 staged_verdict;
	__u8 class;       /* enum hardening_class */
	__u8 cut;         /* the path's beginning is missing */
	struct ancestor ancestors[ANCESTORS]; /* the process itself first */
	__u8 path[VIOLATION_PATH];            /* ends with 0 */
	__u8 executable[VIOLATION_PATH];
};

/* Counts of what was not simply allowed. */
struct violation_key {
	__u32 subject;
	__u32 rule; /* for staged ones, the staged rule with the highest bit set */
};

struct violation_counter {
	__u64 count;
	__u64 last;       /* monotonic, ns */
	__u64 refilled;   /* budget of events, as of endpoint_state */
	__u32 budget;
	__u32 suppressed;
};

#endif
