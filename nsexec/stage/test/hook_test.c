#include "test.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static char hook_path[128];

static struct zb_hook a_hook(const char *script)
{
	put_file("hook", script, 0755);
	snprintf(hook_path, sizeof(hook_path), "%s/hook", root_dir);
	return (struct zb_hook){.kind = a_text("startContainer"),
		.path = a_text(hook_path),
		.args = LIST("hook", root_dir),
		.env = LIST("PATH=/usr/bin:/bin", "WORD=hi"),
		.state_head = a_text("{\"pid\":"),
		.state_tail = a_text("}"),
		.fd = -1};
}

static void hears_state_arguments_and_environment(void)
{
	char got[256] = "", want[64];
	make_root();
	struct zb_hook s = a_hook("#!/bin/sh\n(cat; echo \" $WORD $(ls /proc/$$/fd | wc -l)\") > $1/out\n");
	CHECK(dup2(fake_tree, 50) == 50); /* a descriptor that is kept for the user's process */
	step_hook(&s);
	snprintf(hook_path, sizeof(hook_path), "%s/out", root_dir);
	int fd = open(hook_path, O_RDONLY);
	CHECK(read(fd, got, sizeof(got) - 1) > 0);
	/* the pid is the one that the container sees (runtime.md, "State"); streams 0 to 2 and the shell's own
	 * descriptor of its script */
	snprintf(want, sizeof(want), "{\"pid\":%d} hi 4\n", getpid());
	SAME_TEXT(got, want);
}

static void a_hook_need_not_read(void)
{
	static char big[100000]; /* more than a pipe holds */
	make_root();
	memset(big, 'x', sizeof(big) - 1);
	struct zb_hook s = a_hook("#!/bin/sh\nexit 0\n");
	s.state_head = a_text(big);
	step_hook(&s);
	CHECK(waitpid(-1, NULL, 0) < 0 && errno == ECHILD);
}

static void tells_how_a_hook_failed(void)
{
	char want[256];
	make_root();
	struct zb_hook s = a_hook("#!/bin/sh\nexit 3\n");
	snprintf(want, sizeof(want), "startContainer hook %s exited with status 3", hook_path);
	FAILS(step_hook(&s), 0, want);
	s = a_hook("#!/bin/sh\nkill -9 $$\n");
	snprintf(want, sizeof(want), "startContainer hook %s was killed by signal 9", hook_path);
	FAILS(step_hook(&s), 0, want);
	s = a_hook("#!/no/such/shell\n");
	snprintf(want, sizeof(want), "startContainer hook %s could not be executed", hook_path);
	FAILS(step_hook(&s), ENOENT, want);
}

static void kills_a_hook_at_its_timeout(void)
{
	char want[256];
	make_root();
	static char big[100000];
	memset(big, 'x', sizeof(big) - 1);
	struct zb_hook s = a_hook("#!/bin/sh\nexec sleep 1000\n");
	s.state_head = a_text(big);
	s.timeout = 1;
	snprintf(want, sizeof(want), "startContainer hook %s took longer than its timeout of 1 s", hook_path);
	FAILS(step_hook(&s), ETIMEDOUT, want);
	int status;
	CHECK(wait(&status) > 0 && WIFSIGNALED(status));
}

/* A program that was opened in the runtime's namespace runs whatever is at its path now; a script needs the path. */
static void runs_from_a_descriptor(void)
{
	char want[256];
	make_root();
	stage.base = 100;
	struct zb_hook s = a_hook("#!/bin/sh\nexit 3\n");
	s.fd = 0;
	int program = open("/bin/true", O_PATH | O_CLOEXEC);
	CHECK(program >= 0 && dup3(program, 102, O_CLOEXEC) == 102);
	step_hook(&s);
	CHECK(dup3(open(hook_path, O_PATH | O_CLOEXEC), 102, O_CLOEXEC) == 102);
	snprintf(want, sizeof(want), "startContainer hook %s exited with status 3", hook_path);
	FAILS(step_hook(&s), 0, want);
}

const struct test hook_tests[] = {
	{"hook hears state, arguments and environment", hears_state_arguments_and_environment},
	{"hook need not read its stdin", a_hook_need_not_read},
	{"hook failures are told", tells_how_a_hook_failed},
	{"hook is killed at its timeout", kills_a_hook_at_its_timeout},
	{"hook runs from a descriptor", runs_from_a_descriptor},
	{0},
};
