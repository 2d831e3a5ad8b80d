#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct stage stage;
jmp_buf exit_jump;
bool exit_caught;
static pid_t test_process;
int reports = -1;
char root_dir[64];

void __real__exit(int code) __attribute__((noreturn));
void __wrap__exit(int code) __attribute__((noreturn));
void __wrap__exit(int code)
{
	if (exit_caught && getpid() == test_process) /* not in a hook that could not be executed */
		longjmp(exit_jump, 1);
	__real__exit(code);
}

void __wrap_sys_exit(int code) __attribute__((noreturn));
void __wrap_sys_exit(int code)
{
	__wrap__exit(code);
}

static void remove_root(void)
{
	char command[128];
	if (!*root_dir || getpid() != test_process)
		return;
	snprintf(command, sizeof(command), "rm -rf %s", root_dir);
	if (system(command) != 0)
		printf("%s stays\n", root_dir);
}

static void give_up(void) __attribute__((noreturn));
static void give_up(void)
{
	fflush(stdout);
	remove_root();
	__real__exit(1);
}

void check_at(const char *file, int line, bool good, const char *what)
{
	if (good)
		return;
	printf("%s:%d: %s\n", file, line, what);
	give_up();
}

void same_text_at(const char *file, int line, const char *got, const char *want)
{
	if (strcmp(got, want) == 0)
		return;
	printf("%s:%d: got\n%s\nwant\n%s\n", file, line, got, want);
	give_up();
}

void open_reports(void)
{
	int pair[2];
	if (reports >= 0)
		close(reports);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	reports = pair[0];
	stage.report_fd = pair[1];
}

struct zb_report next_report(void)
{
	struct zb_report r;
	memset(&r, 0, sizeof(r));
	CHECK(recv(reports, &r, sizeof(r), MSG_DONTWAIT) == sizeof(r));
	return r;
}

void check_failure(const char *file, int line, int error, const char *detail)
{
	struct zb_report r = next_report();
	same_text_at(file, line, r.detail, detail);
	check_at(file, line, r.kind == ZB_REPORT_FAILED, "report is not FAILED");
	if (r.error != error)
		printf("%s:%d: errno %d, want %d\n", file, line, r.error, error);
	check_at(file, line, r.error == error, "errno");
}

void make_root(void)
{
	strcpy(root_dir, "/tmp/stage-test-XXXXXX");
	CHECK(mkdtemp(root_dir) != NULL);
	put_dir("root");
	char path[128];
	snprintf(path, sizeof(path), "%s/root", root_dir);
	keep_root(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	CHECK(stage.root_fd >= 0);
}

/* Paths of the put_ functions are below the temporary directory; the container's root is "root" in it. */
static const char *full(const char *path)
{
	static char out[4096];
	snprintf(out, sizeof(out), "%s/%s", root_dir, path);
	return out;
}

void put_dir(const char *path)
{
	CHECK(mkdir(full(path), 0755) == 0);
}

void put_file(const char *path, const char *content, mode_t mode)
{
	int fd = open(full(path), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode);
	CHECK(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content));
	fchmod(fd, mode);
	close(fd);
}

void put_link(const char *path, const char *target)
{
	CHECK(symlink(target, full(path)) == 0);
}

bool is_there(const char *path)
{
	struct stat st;
	return lstat(full(path), &st) == 0;
}

/* Where a descriptor is, relative to the temporary directory. */
const char *path_in_root(int fd)
{
	static char out[4096];
	char link[64];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, out, sizeof(out) - 1);
	CHECK(n > 0);
	out[n] = 0;
	size_t skip = strlen(root_dir);
	if (strncmp(out, root_dir, skip) != 0)
		return out;
	return out[skip] ? out + skip + 1 : ".";
}

static int run_one(const struct test *t)
{
	int pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		stage = (struct stage){.base = 1000,
			.report_fd = -1,
			.gate_fd = -1,
			.proc_fd = -1,
			.root_fd = -1,
			.null_fd = -1,
			.empty_fd = -1,
			.step = 7};
		stage.proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
		fake_tree = open("/", O_PATH | O_CLOEXEC);
		test_process = getpid();
		alarm(10); /* a test that hangs has failed */
		umask(0);
		new_plan();
		t->run();
		remove_root();
		__real__exit(0);
	}
	int status = 0;
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status != 0)
		printf("FAIL %s\n", t->name);
	return status != 0;
}

static int write_seed(const char *path)
{
	static unsigned char bytes[1 << 16];
	size_t n = plan_of_every_step(bytes, sizeof(bytes));
	FILE *f = fopen(path, "wb");
	return !f || fwrite(bytes, n, 1, f) != 1 || fclose(f) != 0;
}

int main(int argc, char **argv)
{
	static const struct test *const suites[] = {decode_tests, resolve_tests, mount_tests, fs_tests, cred_tests,
		process_tests, report_tests, exec_tests, hook_tests};
	int bad = 0, all = 0;
	if (argc == 3 && strcmp(argv[1], "--seed") == 0)
		return write_seed(argv[2]);
	setbuf(stdout, NULL);
	for (size_t i = 0; i < sizeof(suites) / sizeof(*suites); i++)
		for (const struct test *t = suites[i]; t->name; t++, all++)
			if (argc < 2 || strstr(t->name, argv[1]))
				bad += run_one(t);
	printf("%d tests, %d failed\n", all, bad);
	return bad != 0;
}
