/* io_uring, without a library: one entry at a time. */
#include "deeds.h"
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct ring {
	int fd;
	struct io_uring_params parameters;
	struct io_uring_sqe *entries;
	unsigned char *submission, *completion;
};

static int open_ring(struct ring *ring, unsigned int flags)
{
	memset(ring, 0, sizeof(*ring));
	ring->parameters.flags = flags;
	ring->fd = syscall(SYS_io_uring_setup, 4, &ring->parameters);
	if (ring->fd < 0)
		return errno;
	ring->entries = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQES);
	ring->submission = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
	ring->completion = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_CQ_RING);
	return 0;
}

/* What the kernel answered. */
static int submit(struct ring *ring, const struct io_uring_sqe *entry, int *result)
{
	unsigned int *tail = (unsigned int *)(ring->submission + ring->parameters.sq_off.tail);
	unsigned int *array = (unsigned int *)(ring->submission + ring->parameters.sq_off.array);
	struct io_uring_cqe *answers = (struct io_uring_cqe *)(ring->completion + ring->parameters.cq_off.cqes);

	ring->entries[0] = *entry;
	array[*tail & 3] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return errno;
	*result = answers[0].res;
	return 0;
}

int ring_do(const struct io_uring_sqe *entry, int *result)
{
	struct ring ring;

	return open_ring(&ring, 0) ?: submit(&ring, entry, result);
}

static int make_ring(char **arguments)
{
	struct ring ring;

	(void)arguments;
	return open_ring(&ring, 0);
}

static int make_polled_ring(char **arguments)
{
	struct ring ring;

	(void)arguments;
	return open_ring(&ring, IORING_SETUP_SQPOLL);
}

/* A socket made by a ring, in a worker of the kernel's. */
static int ring_socket(char **arguments)
{
	struct io_uring_sqe entry = { .opcode = 45 /* IORING_OP_SOCKET */,
				      .fd = atoi(arguments[0]),
				      .off = atoi(arguments[1]),
				      .len = atoi(arguments[2]),
				      .flags = IOSQE_ASYNC };
	struct ring ring;
	int result = 0, error = open_ring(&ring, 0) ?: submit(&ring, &entry, &result);

	return error ?: result < 0 ? -result : 0;
}

/* A capability lent to a ring: it is registered with credentials that have it, and used as somebody without. */
static int ring_lends(char **arguments)
{
	struct ring ring;
	int error = open_ring(&ring, 0), result = 0, personality;

	(void)arguments;
	if (error)
		return error;
	personality = syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_PERSONALITY, NULL, 0);
	if (personality < 0)
		return errno;
	if (syscall(SYS_setresuid, -1, 65534, -1))
		return errno;
	struct io_uring_sqe entry = { .opcode = 45,
				      .fd = AF_INET,
				      .off = SOCK_RAW,
				      .len = 1,
				      .personality = personality };

	error = submit(&ring, &entry, &result);
	return error ?: result < 0 ? -result : 0;
}

const struct deed ring_deeds[] = {
	{ "ring", "", make_ring, 0 },
	{ "ring-polled", "", make_polled_ring, 0 },
	{ "ring-socket", "FAMILY TYPE PROTOCOL", ring_socket, 3 },
	{ "ring-lends", "", ring_lends, 0 },
	{},
};
