#include "test.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void joins_the_pieces(void)
{
	FAILS(fail(ENOENT, "open source ", "/does/not/exist"), ENOENT, "open source /does/not/exist");
	SAME_TEXT(decimal(0), "0");
	SAME_TEXT(decimal(UINT64_MAX), "18446744073709551615");
}

static void cuts_long_detail(void)
{
	char longer[400], want[ZB_DETAIL_SIZE];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	memset(want, 'x', sizeof(want));
	memcpy(want, "open ", 5);
	want[sizeof(want) - 1] = 0;
	FAILS(fail(ENOENT, "open ", longer, "and more"), ENOENT, want);
}

static void carries_the_step_and_a_descriptor(void)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct zb_report r;
	struct iovec data = {&r, sizeof(r)};
	struct msghdr m = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	open_reports();
	stage.step = 31;
	send_report(ZB_REPORT_CONSOLE, 5, fake_tree);
	CHECK(recvmsg(reports, &m, 0) == sizeof(r));
	CHECK(r.kind == ZB_REPORT_CONSOLE && r.step == 31 && r.value == 5 && r.error == 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)));
}

static void survives_a_runtime_that_is_gone(void)
{
	open_reports();
	close(reports);
	exit_caught = true;
	if (setjmp(exit_jump) == 0) {
		send_report(ZB_REPORT_SYNC, 0, -1); /* SIGPIPE would kill the test */
		CHECK(!"went on");
	}
	exit_caught = false;
}

static void waits_for_the_outer_process(void)
{
	int gate[2];
	char byte;
	CHECK(pipe(gate) == 0);
	open_reports();
	int pid = fork();
	if (pid == 0) { /* the outer process: reports, and exits */
		struct zb_report cloned = {.kind = ZB_REPORT_CLONED, .value = 9};
		usleep(20000);
		send(stage.report_fd, &cloned, sizeof(cloned), 0);
		_exit(0);
	}
	close(gate[1]);
	stage.gate_fd = gate[0];
	send_report(ZB_REPORT_SYNC, 0, -1);
	CHECK(next_report().kind == ZB_REPORT_CLONED);
	CHECK(next_report().kind == ZB_REPORT_SYNC);
	CHECK(stage.gate_fd == -1 && read(gate[0], &byte, 1) < 0);
}

const struct test report_tests[] = {
	{"report joins the pieces of a failure", joins_the_pieces},
	{"report cuts what is too long", cuts_long_detail},
	{"report carries step and descriptor", carries_the_step_and_a_descriptor},
	{"report exits when the runtime is gone", survives_a_runtime_that_is_gone},
	{"report waits until the outer process has reported", waits_for_the_outer_process},
	{0},
};
