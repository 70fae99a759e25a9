/* What the kernel asks capabilities of auditing for. */
#include "deeds.h"
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <sys/socket.h>

int write_audit(void)
{
	struct {
		struct nlmsghdr head;
		char text[16];
		} message = { { sizeof(message), AUDIT_FIRST_USER_MSG, NLM_F_REQUEST | NLM_F_ACK, 1, 0 }, "deed" };
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
	} answer = {};
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);

	if (fd < 0 || sendto(fd, &message, sizeof(message), 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0 ||
	    recv(fd, &answer, sizeof(answer), 0) < 0)
		return errno;
	return answer.head.nlmsg_type == NLMSG_ERROR ? -answer.error.error : 0;
}

int read_audit(void)
{
	struct sockaddr_nl group = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);

	return fd < 0 ? errno : failed(bind(fd, (struct sockaddr *)&group, sizeof(group)));
}

/* A login id, once it is set, is changed. */
int change_login(void)
{
	int fd = open("/proc/self/loginuid", O_WRONLY);

	return fd < 0 ? errno : failed(write(fd, "0", 1)) ?: failed(pwrite(fd, "1", 1, 0));
}
