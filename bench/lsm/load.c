// SPDX-License-Identifier: Apache-2.0
/*
 * What the lsm-* scenarios measure: one static program that does one kind of thing over and over, and prints the
 * nanoseconds of one, of each sample, one a line.
 *
 *   load [--cgroup DIRECTORY] [--confine PROFILE] WHAT SAMPLES OPERATIONS [PATH]
 *
 * It enters the cgroup, and has AppArmor confine it under the profile from its exec on; then it runs itself again, so
 * that whatever judges executables has seen one. WHAT: open, stat, exec, connect, build. PATH: of the file to be opened
 * or looked at; of the directory in which the build has its sources (see `build`).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEADERS 40
#define UNITS 8

static const char *self;

static void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void write_text(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (file < 0 || write(file, text, strlen(text)) < 0)
		fail(path);
	close(file);
}

/* Runs this program again with these words, and waits for its end. */
static void run(char *const words[])
{
	int status;
	pid_t child = vfork();

	if (child == 0) {
		execv(self, words);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
		fail("a child");
}

static void do_open(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);

	if (file < 0)
		fail(path);
	close(file);
}

static void do_stat(const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0)
		fail(path);
}

static void do_exec(const char *path)
{
	char *words[] = { "load", "nothing", NULL };

	(void)path;
	run(words);
}

static int listener = -1;
static struct sockaddr_in address = { .sin_family = AF_INET };

static void listen_somewhere(void)
{
	socklen_t size = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 64) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) < 0)
		fail("listen");
}

static void do_connect(const char *path)
{
	struct linger reset = { .l_onoff = 1 };
	int mine = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), other;

	(void)path;
	if (mine < 0 || connect(mine, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (other < 0)
		fail("accept");
	/* No port waits: there are only so many. */
	setsockopt(mine, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(mine);
	close(other);
}

/* One unit: looks for each header in two places, maps it, reads every byte, and writes what came of it. */
static void compile(const char *directory, const char *unit)
{
	uint64_t hash = 14695981039346656037ull;
	char path[4096], line[64];
	struct stat status;

	for (int n = 0; n < HEADERS; n++) {
		snprintf(path, sizeof(path), "%s/local/header-%d.h", directory, n);
		if (stat(path, &status) == 0)
			fail("a header that is nowhere");
		snprintf(path, sizeof(path), "%s/include/header-%d.h", directory, n);
		int file = open(path, O_RDONLY | O_CLOEXEC);
		if (file < 0 || fstat(file, &status) < 0)
			fail(path);
		const unsigned char *text = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
		if (text == MAP_FAILED)
			fail("mmap");
		for (off_t at = 0; at < status.st_size; at++)
			hash = (hash ^ text[at]) * 1099511628211ull;
		munmap((void *)text, status.st_size);
		close(file);
	}
	snprintf(path, sizeof(path), "%s/unit-%s.o", directory, unit);
	snprintf(line, sizeof(line), "%llx\n", (unsigned long long)hash);
	write_text(path, line);
}

/* A compiler for each unit, started by a driver as cc is, and a linker that reads what they wrote. */
static void do_build(const char *directory)
{
	char unit[16], path[4096];
	char *words[] = { "load", "drive", (char *)directory, unit, NULL };

	for (int n = 0; n < UNITS; n++) {
		snprintf(unit, sizeof(unit), "%d", n);
		run(words);
	}
	for (int n = 0; n < UNITS; n++) {
		snprintf(path, sizeof(path), "%s/unit-%d.o", directory, n);
		do_open(path);
		if (unlink(path) < 0)
			fail(path);
	}
}

static void prepare_build(const char *directory)
{
	char path[4096], text[8193];

	memset(text, '/', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	snprintf(path, sizeof(path), "%s/include", directory);
	mkdir(directory, 0755);
	mkdir(path, 0755);
	for (int n = 0; n < HEADERS; n++) {
		snprintf(path, sizeof(path), "%s/include/header-%d.h", directory, n);
		write_text(path, text);
	}
}

static const struct {
	const char *name;
	void (*work)(const char *path);
} SCENARIOS[] = {
	{ "open", do_open }, { "stat", do_stat }, { "exec", do_exec }, { "connect", do_connect }, { "build", do_build },
};

static void measure(const char *what, int samples, int operations, const char *path)
{
	for (unsigned int n = 0; n < sizeof(SCENARIOS) / sizeof(SCENARIOS[0]); n++) {
		if (strcmp(SCENARIOS[n].name, what) != 0)
			continue;
		for (int sample = -1; sample < samples; sample++) {
			uint64_t begin = now();
			for (int i = 0; i < operations; i++)
				SCENARIOS[n].work(path);
			/* The first one fills caches. */
			if (sample >= 0)
				printf("%llu\n", (unsigned long long)((now() - begin) / operations));
		}
		return;
	}
	fprintf(stderr, "load: there is no \"%s\"\n", what);
	_exit(2);
}

int main(int count, char **words)
{
	char *own[] = { "load", "measure", NULL, NULL, NULL, NULL, NULL };
	char text[512];
	int at = 1;

	self = "/proc/self/exe";
	if (count > 1 && strcmp(words[1], "nothing") == 0)
		return 0;
	if (count > 3 && strcmp(words[1], "drive") == 0) {
		char *next[] = { "load", "compile", words[2], words[3], NULL };
		run(next);
		return 0;
	}
	if (count > 3 && strcmp(words[1], "compile") == 0) {
		compile(words[2], words[3]);
		return 0;
	}
	if (count > 4 && strcmp(words[1], "measure") == 0) {
		const char *path = count > 5 ? words[5] : "";
		if (strcmp(words[2], "connect") == 0)
			listen_somewhere();
		if (strcmp(words[2], "build") == 0)
			prepare_build(path);
		measure(words[2], atoi(words[3]), atoi(words[4]), path);
		return 0;
	}
	for (; at + 1 < count && strncmp(words[at], "--", 2) == 0; at += 2) {
		if (strcmp(words[at], "--cgroup") == 0) {
			snprintf(text, sizeof(text), "%s/cgroup.procs", words[at + 1]);
			write_text(text, "0");
		} else if (strcmp(words[at], "--confine") == 0) {
			snprintf(text, sizeof(text), "exec %s", words[at + 1]);
			write_text("/proc/self/attr/exec", text);
		} else {
			break;
		}
	}
	if (count - at < 3 || count - at > 4) {
		fprintf(stderr, "usage: load [--cgroup DIRECTORY] [--confine PROFILE] WHAT SAMPLES OPERATIONS [PATH]\n");
		return 2;
	}
	for (int n = 0; at + n < count; n++)
		own[2 + n] = words[at + n];
	execv(self, own);
	fail("exec");
}
