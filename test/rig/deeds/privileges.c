/* What each capability is for: `need NUMBER` does what the kernel grants to its holder only, with that one alone. */
#include "deeds.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#ifndef NETLINK_LISTEN_ALL_NSID
#define NETLINK_LISTEN_ALL_NSID 8
#endif

static const char *const file = "/var/deed-privilege";

int keep_capabilities(unsigned long long capabilities)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = {
		{ capabilities, capabilities, 0 },
		{ capabilities >> 32, capabilities >> 32, 0 },
	};

	return failed(syscall(SYS_capset, &head, data));
}

/* A file of USER with that mode, as long as all capabilities are there. */
static int prepare(uid_t user, mode_t mode)
{
	int fd;

	unlink(file);
	fd = open(file, O_CREAT | O_WRONLY, 0600);
	if (fd < 0)
		return errno;
	close(fd);
	return failed(chown(file, user, user)) ?: failed(chmod(file, mode));
}

static int opening(int flags)
{
	return failed(open(file, flags));
}

static int own_handle(void)
{
	char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	struct file_handle *handle = (struct file_handle *)space;
	int id;

	handle->handle_bytes = MAX_HANDLE_SZ;
	if (name_to_handle_at(AT_FDCWD, "/dev/shm", handle, &id, 0))
		return errno;
	return failed(open_by_handle_at(open("/dev/shm", O_RDONLY), handle, O_RDONLY));
}

/* The kernel takes the bit away without a word. */
static int keep_group_bit(void)
{
	struct stat found;

	if (chmod(file, 02711) || stat(file, &found))
		return errno;
	return found.st_mode & S_ISGID ? 0 : EPERM;
}

static int make_immutable(void)
{
	int fd = open(file, O_RDONLY), flags = FS_APPEND_FL, error;

	if (fd < 0)
		return errno;
	error = failed(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	flags = 0;
	ioctl(fd, FS_IOC_SETFLAGS, &flags);
	return error;
}

static int bind_low_port(void)
{
	struct sockaddr_in end = { .sin_family = AF_INET, .sin_port = htons(7) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	return failed(bind(fd, (struct sockaddr *)&end, sizeof(end)));
}

static int hear_all_namespaces(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW, 0), on = 1;

	return failed(setsockopt(fd, 270 /* SOL_NETLINK */, NETLINK_LISTEN_ALL_NSID, &on, sizeof(on)));
}

static int raise_priority(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), priority = 7;

	return failed(setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)));
}

static int lock_memory(void)
{
	static char page[4096];
	struct rlimit none = { 0, 0 };

	return failed(setrlimit(RLIMIT_MEMLOCK, &none)) ?: failed(mlock(page, sizeof(page)));
}

static int use_closed_segment(void)
{
	int id = shmget(IPC_PRIVATE, 4096, 0), error;
	void *there;

	if (id < 0)
		return errno;
	there = shmat(id, NULL, SHM_RDONLY);
	error = there == (void *)-1 ? errno : 0;
	shmctl(id, IPC_RMID, NULL);
	return error;
}

/* A refusal for want of a capability is EPERM; what comes later shows that it was there. */
static int passed(long result)
{
	return result < 0 && errno == EPERM ? EPERM : 0;
}

/* A child of another user, which must be made before capabilities go. */
static pid_t stranger;

static int make_stranger(void)
{
	stranger = fork();
	if (!stranger) {
		/* Nobody may be left who could end it: it ends by itself, and keeps nothing open that is waited for. */
		close(0);
		close(1);
		close(2);
		if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
			_exit(1);
		prctl(PR_SET_DUMPABLE, 1);
		sleep(3);
		_exit(0);
	}
	usleep(50000);
	return stranger < 0 ? errno : 0;
}

static int trace_stranger(void)
{
	return failed(ptrace(PTRACE_SEIZE, stranger, 0, 0));
}

static int raise_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_CORE, &limit);
	limit.rlim_max = limit.rlim_cur = 4096;
	if (setrlimit(RLIMIT_CORE, &limit))
		return errno;
	limit.rlim_max = 8192;
	return failed(setrlimit(RLIMIT_CORE, &limit));
}

static int limit_stranger(void)
{
	struct rlimit limit;

	return failed(prlimit(stranger, RLIMIT_CORE, NULL, &limit));
}

static int set_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return failed(clock_settime(CLOCK_REALTIME, &now));
}

static int lease(void)
{
	int fd = open(file, O_RDONLY);

	return fd < 0 ? errno : failed(fcntl(fd, F_SETLEASE, F_RDLCK));
}

static int give_capability(void)
{
	unsigned int value[5] = { 0x02000000, 1 << CAP_CHOWN, 0, 0, 0 };

	return failed(setxattr(file, "security.capability", value, sizeof(value), 0));
}

static int load_policy(void)
{
	int fd = open("/sys/kernel/security/apparmor/.load", O_WRONLY);
	long done;

	if (fd < 0)
		return errno;
	done = write(fd, "nothing", 7);
	return done < 0 && (errno == EPERM || errno == EACCES) ? EPERM : 0;
}

/* The kernel takes the flag away without a word. */
static int keep_awake(void)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLWAKEUP };
	int epoll = epoll_create1(0), ends[2], fd, found = 0;
	char path[64], text[512] = "";
	char *events;

	if (pipe(ends) || epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event))
		return errno;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", epoll);
	fd = open(path, O_RDONLY);
	if (read(fd, text, sizeof(text) - 1) < 0)
		return errno;
	events = strstr(text, "events:");
	if (events)
		found = strtoul(events + 7, NULL, 16) & EPOLLWAKEUP ? 1 : 0;
	return found ? 0 : EPERM;
}

static int watch_kernel(void)
{
	struct perf_event_attr attributes = { .type = PERF_TYPE_SOFTWARE,
					      .size = sizeof(attributes),
					      .config = PERF_COUNT_SW_CPU_CLOCK };
	long fd = syscall(SYS_perf_event_open, &attributes, -1, 0, -1, 0);

	return fd < 0 ? EPERM : 0;
}

static int make_map(void)
{
	union bpf_attr attributes = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };

	return failed(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes)));
}

/* A process id of one's choice. */
static int choose_process(void)
{
	pid_t wanted = 31999;
	unsigned long long options[11] = { [4] = SIGCHLD, [8] = (unsigned long)&wanted, [9] = 1 };
	long child = syscall(SYS_clone3, options, 88);

	if (!child)
		_exit(0);
	if (child < 0)
		return errno;
	waitpid(child, NULL, 0);
	return 0;
}

static int shift_clock(void)
{
	int fd = open("/proc/self/timens_offsets", O_WRONLY);

	return fd < 0 ? errno : failed(write(fd, "monotonic 1 0", 13));
}

static int attempt(int number, int inside)
{
	switch (number) {
	case CAP_CHOWN: return failed(chown(file, 1, 1));
	case CAP_DAC_OVERRIDE: return opening(O_WRONLY);
	case CAP_DAC_READ_SEARCH: return inside ? opening(O_RDONLY) : own_handle();
	case CAP_FOWNER: return failed(chmod(file, 0644));
	case CAP_FSETID: return keep_group_bit();
	case CAP_KILL: return failed(kill(stranger, 0));
	case CAP_SETGID: return failed(setresgid(1, 1, 1));
	case CAP_SETUID: return failed(setresuid(1, 1, 1));
	case CAP_SETPCAP: return failed(prctl(PR_CAPBSET_DROP, CAP_SYS_TTY_CONFIG, 0, 0, 0));
	case CAP_LINUX_IMMUTABLE: return make_immutable();
	case CAP_NET_BIND_SERVICE: return bind_low_port();
	case CAP_NET_BROADCAST: return hear_all_namespaces();
	case CAP_NET_ADMIN: return raise_priority();
	case CAP_NET_RAW: return failed(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	case CAP_IPC_LOCK: return lock_memory();
	case CAP_IPC_OWNER: return use_closed_segment();
	case CAP_SYS_MODULE: return passed(syscall(SYS_delete_module, "deed", O_NONBLOCK));
	case CAP_SYS_RAWIO: return failed(ioperm(0x80, 1, 1));
	case CAP_SYS_CHROOT: return failed(chroot("/"));
	case CAP_SYS_PTRACE: return trace_stranger();
	case CAP_SYS_PACCT: return failed(acct(NULL));
	case CAP_SYS_ADMIN: return failed(sethostname("deed", 4));
	case CAP_SYS_BOOT: return passed(syscall(SYS_reboot, 0xfee1dead, 0x28121969, 0 /* CAD_OFF */, NULL));
	case CAP_SYS_NICE: return inside ? failed(setpriority(PRIO_PROCESS, stranger, 5)) : failed(setpriority(PRIO_PROCESS, 0, -5));
	case CAP_SYS_RESOURCE: return inside ? limit_stranger() : raise_limit();
	case CAP_SYS_TIME: return inside ? shift_clock() : set_clock();
	case CAP_SYS_TTY_CONFIG: return failed(vhangup());
	case CAP_MKNOD: unlink(file); return failed(mknod(file, S_IFCHR | 0600, makedev(1, 3)));
	case CAP_LEASE: return lease();
	case CAP_AUDIT_WRITE: return write_audit();
	case CAP_AUDIT_CONTROL: return change_login();
	case CAP_SETFCAP: return give_capability();
	case CAP_MAC_ADMIN: return load_policy();
	case CAP_SYSLOG: return failed(klogctl(10 /* SIZE_BUFFER */, NULL, 0)) ?: failed(klogctl(9, NULL, 0));
	case CAP_WAKE_ALARM: return failed(timerfd_create(CLOCK_REALTIME_ALARM, 0));
	case CAP_BLOCK_SUSPEND: return keep_awake();
	case CAP_AUDIT_READ: return read_audit();
	case CAP_PERFMON: return watch_kernel();
	case CAP_BPF: return make_map();
	case CAP_CHECKPOINT_RESTORE: return choose_process();
	default: return ENOSYS;
	}
}

/* The file as each wants it: whose it is, and its mode. */
static int prepare_for(int number, int inside)
{
	switch (number) {
	case CAP_DAC_OVERRIDE:
	case CAP_DAC_READ_SEARCH: return prepare(0, 0);
	case CAP_FOWNER:
	case CAP_LEASE: return prepare(1000, 0644);
	case CAP_FSETID:
		return prepare(0, 0755) ?: failed(chown(file, 0, 1000)) ?: failed(setgroups(0, NULL));
	case CAP_KILL:
	case CAP_SYS_PTRACE: return make_stranger();
	case CAP_SYS_NICE:
	case CAP_SYS_RESOURCE: return inside ? make_stranger() : 0;
	case CAP_SYS_ADMIN: return failed(unshare(CLONE_NEWUTS));
	case CAP_SYS_TIME: return inside ? failed(unshare(CLONE_NEWTIME)) : 0;
	default: return prepare(0, 0644);
	}
}

static int need_somewhere(int number, int inside)
{
	return prepare_for(number, inside) ?: keep_capabilities(1ull << number) ?: attempt(number, inside);
}

static int need(char **arguments)
{
	return need_somewhere(atoi(arguments[0]), 0);
}

static int need_inside_act(char **arguments)
{
	return need_somewhere(atoi(arguments[0]), 1);
}

static int need_inside(char **arguments)
{
	return in_namespaces(need_inside_act, arguments);
}

const struct deed privilege_deeds[] = {
	{ "need", "NUMBER", need, 1 },
	{ "need-inside", "NUMBER", need_inside, 1 },
	{},
};
