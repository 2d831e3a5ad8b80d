#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void writes_through_the_kept_procfs(void)
{
	char content[32];
	make_root();
	put_dir("root/self");
	put_file("root/self/attr", "", 0644);
	stage.proc_fd = stage.root_fd;
	step_proc_write(&(struct zb_proc_write){.path = a_text("self/attr"), .value = a_text("label")});
	int fd = openat(stage.root_fd, "self/attr", O_RDONLY);
	CHECK(read(fd, content, sizeof(content)) == 5 && memcmp(content, "label", 5) == 0);
}

static void writes_below_its_own_process(void)
{
	step_proc_write(&(struct zb_proc_write){.path = a_text("self/comm"), .value = a_text("renamed")});
	char name[16] = "";
	int fd = open("/proc/self/comm", O_RDONLY);
	CHECK(read(fd, name, sizeof(name)) == 8 && memcmp(name, "renamed", 7) == 0);
}

/* CVE-2025-52881: links, mounts and dots cannot lead a write elsewhere. */
static void does_not_leave_the_procfs(void)
{
	FAILS(step_proc_write(&(struct zb_proc_write){.path = a_text("../etc/passwd"), .value = a_text("x")}), EXDEV,
		"open /proc/../etc/passwd");
	FAILS(step_proc_write(&(struct zb_proc_write){.path = a_text("/etc/passwd"), .value = a_text("x")}), EXDEV,
		"open /proc//etc/passwd");
	FAILS(step_proc_write(&(struct zb_proc_write){.path = a_text("self/fd/1"), .value = a_text("x")}), ELOOP,
		"open /proc/self/fd/1");
	FAILS(step_proc_write(&(struct zb_proc_write){.path = a_text("sys/net/no/such"), .value = a_text("x")}), ENOENT,
		"open /proc/sys/net/no/such");
	stage.proc_fd = -1;
	FAILS(step_proc_write(&(struct zb_proc_write){.path = a_text("self/comm"), .value = a_text("x")}), EBADF,
		"write /proc/self/comm without open_proc");
}

static void names_value_and_file_of_a_refused_write(void)
{
	FAILS(step_proc_write(&(struct zb_proc_write){.path = a_text("self/oom_score_adj"), .value = a_text("many")}),
		EINVAL, "write \"many\" to /proc/self/oom_score_adj");
}

static void forbids_tracing_before_it_joins(void)
{
	stage.base = 10;
	step_setns(&(struct zb_setns){.fd = 0, .types = 0x40000000, .what = a_text("/ns/net")});
	step_setns(&(struct zb_setns){.fd = 1, .types = 0x20000000, .what = a_text("/ns/pid")});
	SAME_TEXT(call_log, "dumpable 0\nsetns 12 0x40000000\nsetns 13 0x20000000\n");
	fake_error("setns", EPERM);
	FAILS(step_setns(&(struct zb_setns){.fd = 1, .types = 1, .what = a_text("/ns/x")}), EPERM,
		"join namespace /ns/x");
}

static void goes_on_when_acknowledged(void)
{
	struct zb_ack ack = {ZB_ACK_GO, 0};
	open_reports();
	CHECK(send(reports, &ack, sizeof(ack), 0) == sizeof(ack));
	step_sync();
	struct zb_report r = next_report();
	CHECK(r.kind == ZB_REPORT_SYNC && r.step == 7);
}

static void dies_silently_with_the_runtime(void)
{
	open_reports();
	shutdown(reports, SHUT_WR);
	exit_caught = true;
	if (setjmp(exit_jump) == 0) {
		step_sync();
		CHECK(!"went on without an acknowledgement");
	}
	exit_caught = false;
	CHECK(next_report().kind == ZB_REPORT_SYNC);
	struct zb_report none;
	CHECK(recv(reports, &none, sizeof(none), MSG_DONTWAIT) < 0);
}

static void the_root_is_cloned_and_its_holder_made_private(void)
{
	char path[128];
	make_root();
	strcat(strcpy(path, root_dir), "/root");
	stage.root_fd = -1;
	fake_error("mount_setattr root set", EINVAL); /* no mount point: the one above is */
	step_root(&(struct zb_root){.path = a_text(path), .fd = -1});
	SAME_TEXT(call_log, "open_tree /dev/null clone nofollow\n"
			    "open_tree root clone recursive\n"
			    "mount_setattr root set 0x0 clear 0x0 propagation 0x40000 fails\n"
			    "mount_setattr . set 0x0 clear 0x0 propagation 0x40000\n"
			    "move_mount tree to root\n");
	char want[256];
	strcat(strcat(strcpy(want, "make the mount of "), path), " private");
	fake_error("mount_setattr", EPERM);
	FAILS(step_root(&(struct zb_root){.path = a_text(path), .fd = -1}), EPERM, want);
}

static void a_shared_root_is_left_for_pivot_root(void)
{
	make_root();
	stage.root_fd = -1;
	stage.propagation = MS_SHARED;
	step_root(&(struct zb_root){.path = a_text("/tmp"), .fd = -1});
	SAME_TEXT(call_log, "open_tree /dev/null clone nofollow\n"
			    "open_tree /tmp clone recursive\n"
			    "mount_setattr tree set 0x0 clear 0x0 propagation 0x80000\n"
			    "mount_setattr /tmp set 0x0 clear 0x0 propagation 0x40000\n"
			    "move_mount tree to /tmp\n");
}

static void the_old_root_is_separated_before_it_is_unmounted(void)
{
	make_root();
	stage.propagation = MS_SHARED;
	fake_tree = -1;
	step_pivot_root();
	SAME_TEXT(call_log, "pivot_root . .\n"
			    "mount_setattr / recursive set 0x0 clear 0x0 propagation 0x80000\n"
			    "umount . 2\n");
}

const struct test process_tests[] = {
	{"proc_write writes through the kept procfs", writes_through_the_kept_procfs},
	{"proc_write reaches self", writes_below_its_own_process},
	{"proc_write does not leave the procfs", does_not_leave_the_procfs},
	{"proc_write names value and file", names_value_and_file_of_a_refused_write},
	{"setns forbids tracing first", forbids_tracing_before_it_joins},
	{"sync goes on when acknowledged", goes_on_when_acknowledged},
	{"sync dies silently with the runtime", dies_silently_with_the_runtime},
	{"root is cloned, its holder made private", the_root_is_cloned_and_its_holder_made_private},
	{"root does not stay shared", a_shared_root_is_left_for_pivot_root},
	{"pivot_root separates the old root before it unmounts it", the_old_root_is_separated_before_it_is_unmounted},
	{0},
};
