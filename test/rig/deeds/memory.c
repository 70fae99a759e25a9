/* Memory that is written and executed. */
#include "deeds.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>

#define SIZE 4096

static int map(int protection, int flags, int fd, void **where)
{
	*where = mmap(NULL, SIZE, protection, flags, fd, 0);
	return *where == MAP_FAILED ? errno : 0;
}

static int both_at_once(char **arguments)
{
	void *page;

	(void)arguments;
	return map(PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, &page);
}

static int one_after_the_other(char **arguments)
{
	void *page;
	int error = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, &page);

	(void)arguments;
	if (error)
		return error;
	*(char *)page = (char)0xc3;
	return failed(mprotect(page, SIZE, PROT_READ | PROT_EXEC));
}

/* One file of memory, mapped twice. */
static int two_views(char **arguments)
{
	int fd = memfd_create("deed", 0), error;
	void *page;

	(void)arguments;
	if (fd < 0 || ftruncate(fd, SIZE))
		return errno;
	error = map(PROT_READ | PROT_WRITE, MAP_SHARED, fd, &page);
	return error ?: map(PROT_READ | PROT_EXEC, MAP_SHARED, fd, &page);
}

static int shared_segment(char **arguments)
{
	int id = shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0700), error;
	void *page;

	(void)arguments;
	if (id < 0)
		return errno;
	page = shmat(id, NULL, SHM_EXEC);
	error = page == (void *)-1 ? errno : 0;
	shmctl(id, IPC_RMID, NULL);
	return error;
}

/* A private mapping of a program, changed, and made executable again. */
static int changed_text(char **arguments)
{
	int fd = open(arguments[0], O_RDONLY), error;
	void *page;

	if (fd < 0)
		return errno;
	error = map(PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, &page);
	if (error)
		return error;
	*(volatile char *)page = (char)0xc3;
	return failed(mprotect(page, SIZE, PROT_READ | PROT_EXEC));
}

/* A neighbour: what a program loader does. */
static int mapped_text(char **arguments)
{
	int fd = open(arguments[0], O_RDONLY);
	void *page;

	return fd < 0 ? errno : map(PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, &page);
}

/* A neighbour: memory that becomes read-only. */
static int sealed_data(char **arguments)
{
	void *page;
	int error = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, &page);

	(void)arguments;
	return error ?: failed(mprotect(page, SIZE, PROT_READ));
}

const struct deed memory_deeds[] = {
	{ "map-writable-executable", "", both_at_once, 0 },
	{ "write-then-execute", "", one_after_the_other, 0 },
	{ "two-views", "", two_views, 0 },
	{ "shared-segment", "", shared_segment, 0 },
	{ "changed-text", "FILE", changed_text, 1 },
	{ "mapped-text", "FILE", mapped_text, 1 },
	{ "sealed-data", "", sealed_data, 0 },
	{},
};
