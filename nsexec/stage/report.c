/* The report socket: records up, acknowledgements down. */
#include "stage.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct zb_report record;

/* The outer process reports CLONED before it exits. Nothing of the init process may arrive earlier: libzbox would
 * get a report of a process that it does not know. The gate is a pipe that the outer process's exit closes. */
void pass_gate(void)
{
	char none;
	if (stage.gate_fd < 0)
		return;
	while (read(stage.gate_fd, &none, 1) < 0 && errno == EINTR)
		;
	close(stage.gate_fd);
	stage.gate_fd = -1;
}

static int send_record(int fd)
{
	struct iovec data = {.iov_base = &record, .iov_len = sizeof(record)};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	ssize_t n;
	do {
		n = sendmsg(stage.report_fd, &message, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -1 : 0;
}

static void fill_record(enum zb_report_kind kind, int error, int32_t value)
{
	memset(&record, 0, sizeof(record));
	record.kind = kind;
	record.step = stage.step;
	record.error = error;
	record.value = value;
}

static void add_detail(const char *const *pieces)
{
	size_t used = 0;
	for (; *pieces; pieces++) {
		size_t n = strlen(*pieces);
		if (n > ZB_DETAIL_SIZE - 1 - used)
			n = ZB_DETAIL_SIZE - 1 - used;
		memcpy(record.detail + used, *pieces, n);
		used += n;
	}
}

/* Sends a report, with a descriptor unless fd is -1. A runtime that is gone cannot be told anything: exit. */
void send_report(enum zb_report_kind kind, int32_t value, int fd)
{
	pass_gate();
	fill_record(kind, 0, value);
	if (send_record(fd) < 0)
		sys_exit(1);
}

void warn(int error, const char *what, const char *name)
{
	pass_gate();
	fill_record(ZB_REPORT_WARNING, error, 0);
	add_detail((const char *const[]){what, name, NULL});
	send_record(-1);
}

/* Waits for the acknowledgement of a report. Without one the runtime is gone, and this process goes as well. */
void wait_go(void)
{
	struct zb_ack ack;
	ssize_t n;
	do {
		n = recv(stage.report_fd, &ack, sizeof(ack), 0);
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(ack) || ack.kind != ZB_ACK_GO)
		sys_exit(1);
}

/* Without a runtime that listens, as a hook. */
_Noreturn static void fail_alone(int error, const char *const *pieces)
{
	add_detail(pieces);
	const char *const all[] = {"zbox: ", record.detail, ": ", strerror(error), "\n"};
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (write(2, all[i], strlen(all[i])) < 0)
			break;
	sys_exit(1);
}

_Noreturn void fail_pieces(int error, const char *const *pieces)
{
	if (stage.base < 0)
		fail_alone(error, pieces);
	pass_gate();
	fill_record(ZB_REPORT_FAILED, error, 0);
	add_detail(pieces);
	send_record(-1);
	sys_exit(1);
}

/* The decimal form of n in a static buffer, for fail. */
const char *decimal(uint64_t n)
{
	static char digits[21];
	char *p = digits + sizeof(digits) - 1;
	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	return p;
}
