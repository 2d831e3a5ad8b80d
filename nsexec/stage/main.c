/* zbox-nsexec BASE: see "Three channels" in docs/architecture.md. .../init PROGRAM ARG...: the init of a sandbox.
 * layers ROOTFS ...: a hook of its bundle, see layers.c. */
#include "stage.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct stage stage = {
	.base = -1, .report_fd = -1, .gate_fd = -1, .proc_fd = -1, .root_fd = -1, .null_fd = -1, .empty_fd = -1};

/* Descriptor numbers are small; anything but plain digits is refused. */
static int parse_base(const char *s)
{
	int n = 0;
	if (!s || !*s)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || n > 1 << 20)
			return -1;
		n = n * 10 + (*s - '0');
	}
	return n;
}

static const void *map_plan(int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		fail(errno, "look at the plan");
	if (st.st_size <= 0 || st.st_size > ZB_MAX_SIZE)
		fail(EINVAL, "plan has a wrong size");
	const void *plan = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (plan == MAP_FAILED)
		fail(errno, "map the plan");
	const char *wrong = check_plan(plan, (size_t)st.st_size);
	if (wrong)
		fail(EINVAL, wrong);
	close(fd);
	return plan;
}

/* One record from zbox, with up to ZB_MAX_RIGHTS descriptors. Where they land is checked: the kernel hands out the
 * lowest free numbers in order, and nothing is open above the report socket. Returns how many came. */
static int take_descriptors(int next, int *total)
{
	struct zb_ack record;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(ZB_MAX_RIGHTS * sizeof(int))];
	struct iovec data = {.iov_base = &record, .iov_len = sizeof(record)};
	struct msghdr msg = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t n;
	do {
		n = recvmsg(stage.report_fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		_exit(1); /* zbox gave up before there was a plan */
	const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (n != sizeof(record) || record.kind != ZB_ACK_PLAN || !c || c->cmsg_type != SCM_RIGHTS ||
		msg.msg_flags & MSG_CTRUNC)
		fail(EPROTO, "receive the plan");
	int count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	for (int i = 0; i < count; i++) {
		int fd;
		memcpy(&fd, CMSG_DATA(c) + (size_t)i * sizeof(fd), sizeof(fd));
		if (fd != next + i)
			fail(EPROTO, "receive the plan: a descriptor is out of place");
	}
	*total = record.value;
	return count;
}

/* The plan comes once zbox has made it; this process was started meanwhile. */
static void receive_plan(void)
{
	int have = 0, total = 1;
	while (have < total)
		have += take_descriptors(stage.base + 1 + have, &total);
}

static bool is_called(const char *name, const char *wanted)
{
	const char *slash = strrchr(name, '/');
	return !strcmp(slash ? slash + 1 : name, wanted);
}

int main(int argc, char **argv)
{
	if (argc > 1 && is_called(argv[0], "init"))
		run_init(argv + 1);
	if (argc > 1 && is_called(argv[0], "layers"))
		run_layers(argv + 1);
	stage.base = argc == 2 ? parse_base(argv[1]) : -1;
	if (stage.base < 3) {
		static const char usage[] = "zbox-nsexec is started by zbox\n";
		return write(2, usage, sizeof(usage) - 1) < 0 ? 2 : 1;
	}
	stage.report_fd = stage.base;
	/* nothing of the stage may survive execve or reach a hook (CVE-2024-21626) */
	if (sys_close_range((unsigned)stage.base, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		fail(errno, "set close-on-exec");
	stage.umask = umask(0); /* modes of nodes and directories are exact */
	receive_plan();
	use_plan(map_plan(stage.base + 1));
	run_plan();
}
