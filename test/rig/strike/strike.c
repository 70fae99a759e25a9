/*
 * strike: a container's whole program, which attacks with its very first instructions. No libc, so that nothing runs
 * before it. `strike ADDRESS PORT ID`, each in hexadecimal, sends ID in a datagram, then over a connection; `strike PATH`
 * opens a file for reading, then for writing, and changes nothing. Exits with 1 for a datagram that was sent or a file
 * that could be read, 2 for a connection that was made or a file that could be written; 64 is added, so that 0 is none
 * of ours.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	result = x0;
#else
#error "no system calls for this architecture"
#endif
	return result;
}

static uint32_t hexadecimal(const char *text)
{
	uint32_t value = 0;

	for (; *text; text++)
		value = value << 4 | (uint32_t)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
	return value;
}

static long strike_file(const char *path)
{
	long status = 0;

	if (call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY, 0, 0, 0) >= 0)
		status |= 1;
	if (call(SYS_openat, AT_FDCWD, (long)path, O_WRONLY, 0, 0, 0) >= 0)
		status |= 2;
	return status;
}

static long strike_host(char **arguments)
{
	uint16_t port = (uint16_t)hexadecimal(arguments[2]);
	uint32_t address = hexadecimal(arguments[1]), id = hexadecimal(arguments[3]);
	struct sockaddr_in target = {
		.sin_family = AF_INET,
		.sin_port = __builtin_bswap16(port),
		.sin_addr = { __builtin_bswap32(address) },
	};
	struct timeval wait = { .tv_sec = 5 };
	long status = 0, fd;

	fd = call(SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
	if (call(SYS_sendto, fd, (long)&id, sizeof(id), 0, (long)&target, sizeof(target)) == sizeof(id))
		status |= 1;
	fd = call(SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0, 0);
	call(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, (long)&wait, sizeof(wait), 0);
	if (call(SYS_connect, fd, (long)&target, sizeof(target), 0, 0, 0) == 0) {
		status |= 2;
		call(SYS_write, fd, (long)&id, sizeof(id), 0, 0, 0);
	}
	return status;
}

__attribute__((used)) void strike(long *stack)
{
	char **arguments = (char **)(stack + 1);
	long status = arguments[1][0] == '/' ? strike_file(arguments[1]) : strike_host(arguments);

	call(SYS_exit_group, status | 64, 0, 0, 0, 0, 0);
	__builtin_unreachable();
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall strike\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl strike\n");
#endif
