/* What the kernel offers beside files and sockets. */
#include "deeds.h"
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <time.h>

static int make_map(char **arguments)
{
	union bpf_attr attributes = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };

	(void)arguments;
	return failed(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes)));
}

/* Opens what others made, by number. */
static int next_program(char **arguments)
{
	union bpf_attr attributes = {};

	(void)arguments;
	return failed(syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, &attributes, sizeof(attributes)));
}

/* A neighbour: a filter of the old kind, as every seccomp user has. */
static int old_filter(char **arguments)
{
	struct {
		unsigned short code;
		unsigned char yes, no;
		unsigned int value;
	} instruction = { 6, 0, 0, 0xffffffff };
	struct {
		unsigned short count;
		void *first;
	} program = { 1, &instruction };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)arguments;
	return fd < 0 ? errno : failed(setsockopt(fd, SOL_SOCKET, 26 /* SO_ATTACH_FILTER */, &program, sizeof(program)));
}

static int open_perf(char **arguments)
{
	struct perf_event_attr attributes = { .type = PERF_TYPE_SOFTWARE,
					      .size = sizeof(attributes),
					      .config = PERF_COUNT_SW_TASK_CLOCK,
					      .exclude_kernel = 1 };

	(void)arguments;
	return failed(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

static int open_userfault(char **arguments)
{
	(void)arguments;
	return failed(syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY));
}

/* By the device instead of the system call. */
static int open_userfault_device(char **arguments)
{
	int fd = open("/dev/userfaultfd", O_RDWR);

	(void)arguments;
	return fd < 0 ? errno : failed(ioctl(fd, 0xaa00 /* USERFAULTFD_IOC_NEW */, 0));
}

/* A neighbour: another nameless file. */
static int make_memory_file(char **arguments)
{
	(void)arguments;
	return failed(memfd_create("deed", 0));
}

static int add_key(char **arguments)
{
	(void)arguments;
	return failed(syscall(SYS_add_key, "user", "deed", "x", 1, KEY_SPEC_PROCESS_KEYRING));
}

static int join_keyring(char **arguments)
{
	(void)arguments;
	return failed(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
}

/* Uses what is there. */
static int read_keyring(char **arguments)
{
	char text[64];
	long found = syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_USER_KEYRING, text, sizeof(text));

	(void)arguments;
	return failed(found);
}

static int read_log(char **arguments)
{
	char text[64];

	(void)arguments;
	return failed(klogctl(3, text, sizeof(text)));
}

static int read_log_device(char **arguments)
{
	(void)arguments;
	return failed(open("/dev/kmsg", O_RDONLY | O_NONBLOCK));
}

/* A neighbour: writing to it. */
static int write_log_device(char **arguments)
{
	int fd = open("/dev/kmsg", O_WRONLY);

	(void)arguments;
	return fd < 0 ? errno : failed(write(fd, "deed\n", 5));
}

static int set_time(char **arguments)
{
	struct timespec now;

	(void)arguments;
	clock_gettime(CLOCK_REALTIME, &now);
	return failed(clock_settime(CLOCK_REALTIME, &now));
}

static int adjust_time(char **arguments)
{
	struct timex change = { .modes = ADJ_SETOFFSET | ADJ_NANO };

	(void)arguments;
	change.time.tv_usec = 1000;
	return failed(adjtimex(&change));
}

/* A neighbour. */
static int read_time(char **arguments)
{
	struct timex nothing = {};

	(void)arguments;
	return failed(adjtimex(&nothing));
}

/* What was let in has no sense, and says so. */
static int is_nonsense(int error)
{
	return error == ENOEXEC || error == EINVAL || error == EBADMSG || error == EKEYREJECTED || error == ENOKEY ? 0 : error;
}

static int load_module_file(char **arguments)
{
	int fd = open(arguments[0], O_RDONLY);

	return fd < 0 ? errno : is_nonsense(failed(syscall(SYS_finit_module, fd, "", 0)));
}

static int load_module_memory(char **arguments)
{
	static char nonsense[4096];

	(void)arguments;
	return is_nonsense(failed(syscall(SYS_init_module, nonsense, sizeof(nonsense), "")));
}

/* Only asks: the kernel runs modprobe for it. Nobody has such a family. */
static int request_module(char **arguments)
{
	return failed(socket(atoi(arguments[0]), SOCK_DGRAM, 0));
}

static int load_kernel_file(char **arguments)
{
	int fd = open(arguments[0], O_RDONLY);

	return fd < 0 ? errno : is_nonsense(failed(syscall(SYS_kexec_file_load, fd, fd, 1, "", 4 /* no initramfs */)));
}

static int load_kernel_memory(char **arguments)
{
	(void)arguments;
	return failed(syscall(SYS_kexec_load, 0, 0, NULL, 0));
}

const struct deed facility_deeds[] = {
	{ "bpf", "", make_map, 0 },
	{ "bpf-next", "", next_program, 0 },
	{ "old-filter", "", old_filter, 0 },
	{ "perf", "", open_perf, 0 },
	{ "userfault", "", open_userfault, 0 },
	{ "userfault-device", "", open_userfault_device, 0 },
	{ "memfd", "", make_memory_file, 0 },
	{ "add-key", "", add_key, 0 },
	{ "join-keyring", "", join_keyring, 0 },
	{ "read-keyring", "", read_keyring, 0 },
	{ "syslog", "", read_log, 0 },
	{ "kmsg", "", read_log_device, 0 },
	{ "kmsg-write", "", write_log_device, 0 },
	{ "set-time", "", set_time, 0 },
	{ "adjust-time", "", adjust_time, 0 },
	{ "read-time", "", read_time, 0 },
	{ "module-file", "FILE", load_module_file, 1 },
	{ "module-memory", "", load_module_memory, 0 },
	{ "module-request", "FAMILY", request_module, 1 },
	{ "kexec-file", "FILE", load_kernel_file, 1 },
	{ "kexec", "", load_kernel_memory, 0 },
	{},
};
