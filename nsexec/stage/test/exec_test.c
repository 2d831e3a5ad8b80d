#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct zb_find a_find(const char *program, const char *path)
{
	return (struct zb_find){.program = a_text(program), .path = a_text(path)};
}

static const char *in_tmp(const char *path)
{
	static char out[4][256];
	static int turn;
	turn = (turn + 1) % 4;
	snprintf(out[turn], sizeof(out[turn]), "%s/%s", root_dir, path);
	return out[turn];
}

static void finds_in_the_order_of_path(void)
{
	char path[600];
	make_root();
	put_dir("a");
	put_dir("b");
	put_dir("b/dir");
	put_file("a/tool", "#!/nothing\n", 0644); /* not executable: the search goes on */
	put_file("b/tool", "#!/nothing/here\n", 0755);
	snprintf(path, sizeof(path), "%s:%s:%s", in_tmp("none"), in_tmp("a"), in_tmp("b"));
	struct zb_find f = a_find("tool", path);
	step_find(&f);
	struct zb_exec e = {.args = LIST("tool")};
	char want[600];
	snprintf(want, sizeof(want),
		"\"%s\": interpreter not found: \"/nothing/here\" (install it in the root filesystem)",
		in_tmp("b/tool"));
	FAILS(step_exec(&e), ENOENT, want);
}

static const char *home_of(uint32_t uid)
{
	static char given[] = "HOME=/given", path[] = "PATH=/bin";
	static char *env[] = {path, given, NULL};
	env[1] = given;
	int fd = open(in_tmp("passwd"), O_RDONLY);
	find_home(fd, uid);
	close(fd);
	set_home(env);
	SAME_TEXT(env[0], "PATH=/bin");
	return env[1];
}

static void keeps_home_without_a_line_of_the_user(void)
{
	make_root();
	put_file("passwd",
		"\nroot\n::0\n0:0:0\na:x:1x:1::/a:\nb:x::0::/b:\nc:x:42949672950:1::/c:\nz:x:5:5:::/bin/sh\n#5:x:5:5\n",
		0644);
	for (uint32_t uid = 0; uid < 6; uid++)
		SAME_TEXT(home_of(uid), "HOME=/given");
	SAME_TEXT(home_of(UINT32_MAX), "HOME=/given");
}

static void takes_home_from_the_first_line_of_the_user(void)
{
	static char long_line[3 * PATH_SIZE];
	make_root();
	memset(long_line, 'x', sizeof(long_line) - 1);
	memcpy(long_line, "a:x:5:5::/", 10);
	memcpy(long_line + sizeof(long_line) - 40, "\nb:x:05:5:Comment:/h:s\nc:x:5:5::/i", 35);
	long_line[sizeof(long_line) - 5] = '\0';
	put_file("passwd", long_line, 0644);
	SAME_TEXT(home_of(5), "HOME=/h"); /* the first is too long for a path */
}

static void says_what_is_wrong_with_a_program(void)
{
	char want[600];
	make_root();
	put_dir("a");
	put_file("a/plain", "", 0644);
	put_file("a/dir", "", 0755);
	struct zb_find f = a_find("tool", in_tmp("a"));
	FAILS(step_find(&f), ENOENT, "executable file not found in $PATH: \"tool\"");
	f = a_find("tool", "");
	FAILS(step_find(&f), ENOENT, "executable file not found in $PATH: \"tool\"");
	f = a_find("plain", in_tmp("a"));
	snprintf(want, sizeof(want), "\"%s\" is not executable, mode 0644 (chmod +x)", in_tmp("a/plain"));
	FAILS(step_find(&f), EACCES, want);
	f = a_find("/no/such", "");
	FAILS(step_find(&f), ENOENT, "\"/no/such\"");
	f = a_find(in_tmp("a"), "");
	snprintf(want, sizeof(want), "\"%s\" is a directory", in_tmp("a"));
	FAILS(step_find(&f), EACCES, want);
	f = a_find("", "/bin");
	FAILS(step_find(&f), ENOENT, "no program");
}

static void explains_scripts_and_garbage(void)
{
	static const struct {
		const char *content;
		int error;
		const char *want;
	} cases[] = {
		{"#!/bin/nosuch -x\n", ENOENT,
			": interpreter not found: \"/bin/nosuch\" (install it in the root filesystem)"},
		{"#! /bin/sh\r\n", ENOENT,
			": its first line ends with CR LF, so the interpreter is not found: \"/bin/sh\\r\" (convert it "
			"with dos2unix)"},
		{"#!/etc/passwd\n", EACCES,
			": its interpreter \"/etc/passwd\" is not executable, mode 0644 (chmod +x)"},
		{"#!\n", ENOEXEC, ": #! without an interpreter"},
		{"garbage", ENOEXEC, ": neither a program nor a script: a text without a first line such as #!/bin/sh"},
		{"\x01\x02garbage", ENOEXEC, ": neither a program nor a script that this kernel knows"},
		{"\x7f"
		 "ELF and nothing more",
			ENOEXEC, ": damaged: an ELF file that ends in its header"},
		{"", ENOEXEC, ": an empty file"},
	};
	char want[600];
	make_root();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		put_file("f", cases[i].content, 0755);
		struct zb_find f = a_find(in_tmp("f"), "");
		struct zb_exec e = {.args = LIST("f")};
		step_find(&f);
		snprintf(want, sizeof(want), "\"%s\"%s", in_tmp("f"), cases[i].want);
		FAILS(step_exec(&e), cases[i].error, want);
	}
}

static void looks_with_the_capabilities_of_the_program(void)
{
	struct zb_find f = a_find("/bin/true", "");
	struct zb_capset later = {.effective = 0xf0f};
	const void *find = ADD_STEP(ZB_OP_FIND, f);
	ADD_STEP(ZB_OP_CAPSET, later);
	fake_effective = 0xff;
	step_find(find);
	SAME_TEXT(call_log, "capget\ncapset f ff 0\ncapset ff ff 0\n");
}

static void refuses_to_change_through_a_descriptor(void)
{
	make_root();
	int fd = open(root_dir, O_PATH | O_DIRECTORY);
	char path[64], want[200];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(want, sizeof(want),
		"change to %s: current working directory is outside of container mount namespace root", path);
	FAILS(step_chdir(&(struct zb_chdir){.path = a_text(path)}), ELOOP, want);
	FAILS(step_chdir(&(struct zb_chdir){.path = a_text("/no/such/dir")}), ENOENT, "change to /no/such/dir");
	step_chdir(&(struct zb_chdir){.path = a_text(in_tmp("root"))});
	char now[256];
	CHECK(getcwd(now, sizeof(now)));
	SAME_TEXT(now, in_tmp("root"));
}

static void makes_a_missing_directory_in_the_root(void)
{
	struct stat st;
	make_root();
	put_dir("root/there");
	put_link("root/link", "/there"); /* followed inside the root */
	step_mkdir(&(struct zb_mkdir){.path = a_text("/link/dir/below")});
	step_mkdir(&(struct zb_mkdir){.path = a_text("/link/dir/below")});
	CHECK(stat(in_tmp("root/there/dir/below"), &st) == 0 && S_ISDIR(st.st_mode));
	/* a file in the way is for chdir to find out */
	put_file("root/file", "", 0644);
	step_mkdir(&(struct zb_mkdir){.path = a_text("/file/below")});
}

static int fake_cwd;
int __real_sys_getcwd(char *path, size_t size);
int __wrap_sys_getcwd(char *path, size_t size);
int __wrap_sys_getcwd(char *path, size_t size)
{
	if (!fake_cwd)
		return __real_sys_getcwd(path, size);
	strcpy(path, "(unreachable)/etc");
	return 18;
}

static void refuses_an_unreachable_directory(void)
{
	fake_cwd = 1;
	FAILS(step_chdir(&(struct zb_chdir){.path = a_text("/")}), ENOENT,
		"change to /: current working directory is outside of container mount namespace root");
}

static void closes_all_but_what_later_steps_need(void)
{
	struct zb_hook before = {.fd = 9}, hook = {.fd = 7}, without = {.fd = -1};
	struct zb_close_fds c = {.keep = 2};
	struct zb_wait_start wait = {.fd = 0};
	struct zb_proc_write label = {.path = a_text("self/attr/exec")};
	struct zb_exec e = {.args = LIST("x")};
	stage.base = 6;
	stage.report_fd = 6;
	stage.proc_fd = 500;
	ADD_STEP(ZB_OP_HOOK, before);
	const void *close_fds = ADD_STEP(ZB_OP_CLOSE_FDS, c);
	ADD_STEP(ZB_OP_WAIT_START, wait);
	ADD_STEP(ZB_OP_HOOK, hook);
	ADD_STEP(ZB_OP_HOOK, without);
	ADD_STEP(ZB_OP_PROC_WRITE, label);
	ADD_STEP(ZB_OP_EXEC, e);
	stage.umask = 027;
	step_close_fds(close_fds);
	SAME_TEXT(call_log, "close_range 5 5 flags 0\nclose_range 7 7 flags 0\nclose_range 9 14 flags 0\n"
			    "close_range 16 499 flags 0\nclose_range 501 4294967295 flags 0\n");
	CHECK(stage.keep == 2 && umask(0) == 027);
}

/* The starter: connects without a word, then with a wrong one, then says go. */
static void play_starter(const struct sockaddr_un *address)
{
	static const struct zb_ack wrong = {99, 0}, go = {ZB_ACK_GO, 0};
	alarm(10);
	for (int i = 0; i < 3; i++) {
		int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		if (connect(fd, (const void *)address, sizeof(*address)) < 0)
			_exit(1);
		if (i > 0)
			send(fd, i == 1 ? &wrong : &go, sizeof(go), MSG_NOSIGNAL);
		if (i < 2) {
			char byte;
			shutdown(fd, SHUT_WR);
			while (read(fd, &byte, 1) > 0)
				;
			close(fd);
			continue;
		}
		struct zb_report r;
		_exit(recv(fd, &r, sizeof(r), 0) == sizeof(r) && r.kind == ZB_REPORT_FAILED && r.error == ENOENT ? 0
														 : 2);
	}
}

static void waits_until_one_says_go(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int status;
	make_root();
	strcpy(address.sun_path, in_tmp("start.sock"));
	stage.base = 100;
	int listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CHECK(bind(listening, (void *)&address, sizeof(address)) == 0 && listen(listening, 8) == 0);
	CHECK(dup2(listening, 102) == 102);
	int pid = fork();
	if (pid == 0)
		play_starter(&address);
	open_reports();
	step_wait_start(&(struct zb_wait_start){.fd = 0});
	CHECK(next_report().kind == ZB_REPORT_CREATED);
	char byte;
	CHECK(recv(reports, &byte, 1, 0) == 0); /* the first socket is closed */
	exit_caught = true;
	if (setjmp(exit_jump) == 0)
		fail(ENOENT, "late");
	exit_caught = false;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

const struct test exec_tests[] = {
	{"find goes through PATH in order", finds_in_the_order_of_path},
	{"home stays without a line of the user", keeps_home_without_a_line_of_the_user},
	{"home is that of the first line of the user", takes_home_from_the_first_line_of_the_user},
	{"find says what is wrong with a program", says_what_is_wrong_with_a_program},
	{"find looks with the capabilities of the program", looks_with_the_capabilities_of_the_program},
	{"exec explains scripts and garbage", explains_scripts_and_garbage},
	{"mkdir makes what is missing, in the root", makes_a_missing_directory_in_the_root},
	{"chdir refuses to go through a descriptor", refuses_to_change_through_a_descriptor},
	{"chdir refuses an unreachable directory", refuses_an_unreachable_directory},
	{"close_fds closes all but what later steps need", closes_all_but_what_later_steps_need},
	{"wait_start waits until one says go, and reports there", waits_until_one_says_go},
	{0},
};
