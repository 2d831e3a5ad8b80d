#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A root with links of all sorts, beside a directory that none of them may reach. */
static void make_tree(void)
{
	make_root();
	put_dir("host");
	put_dir("root/etc");
	put_dir("root/run");
	put_dir("root/var");
	put_file("root/etc/passwd", "x", 0644);
	put_link("root/var/run", "/run");
	put_link("root/out", "/host");
	put_link("root/up", "../../host");
	put_link("root/dangling", "/missing/place");
	put_link("root/etc/resolv.conf", "../run/resolve/stub");
	put_link("root/loop", "/loop");
	put_link("root/etc/deep", "../var/run/a/../b");
}

static void opens_targets_inside_the_root(void)
{
	static const struct {
		const char *path;
		enum target_kind kind;
		const char *want;
	} cases[] = {
		{"/", TARGET_DIR, "root"},
		{"", TARGET_DIR, "root"},
		{"/etc/passwd", TARGET_FILE, "root/etc/passwd"},
		{"etc", TARGET_DIR, "root/etc"},
		{"/new/dir/a", TARGET_DIR, "root/new/dir/a"},
		{"/new/file", TARGET_FILE, "root/new/file"},
		{"/var/run/new", TARGET_DIR, "root/run/new"},
		{"/var/run/x/y/z", TARGET_FILE, "root/run/x/y/z"},
		{"/dangling", TARGET_DIR, "root/missing/place"},
		{"/dangling/below", TARGET_DIR, "root/missing/place/below"},
		{"/etc/resolv.conf", TARGET_FILE, "root/run/resolve/stub"},
		{"/out/x", TARGET_DIR, "root/host/x"},
		{"/up/y", TARGET_FILE, "root/host/y"},
		{"/../../host/z", TARGET_DIR, "root/host/z"},
		{"/new2/../../../etc/q", TARGET_DIR, "root/etc/q"},
		{"/etc/deep", TARGET_DIR, "root/run/b"},
		{"//a//./b/", TARGET_DIR, "root/a/b"},
	};
	make_tree();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct stat st;
		int fd = open_target(cases[i].path, cases[i].kind, 0);
		SAME_TEXT(path_in_root(fd), cases[i].want);
		CHECK(fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) == (cases[i].kind == TARGET_DIR));
		CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
		close(fd);
	}
	CHECK(!is_there("host/x") && !is_there("host/y") && !is_there("host/z"));
}

static void leaks_no_descriptor(void)
{
	make_tree();
	int before = dup(0);
	close(before);
	close(open_target("/var/run/p/q/../r/s", TARGET_FILE, 0));
	close(open_target("/dangling/more", TARGET_DIR, 0));
	int after = dup(0);
	CHECK(before == after);
}

static void fails_with_the_path(void)
{
	char path[PATH_SIZE + 8];
	make_tree();
	put_file("root/file", "", 0644);
	FAILS(open_target("/loop/x", TARGET_DIR, 0), ELOOP, "open target /loop/x");
	FAILS(open_target("/file/x", TARGET_DIR, 0), ENOTDIR, "open target /file/x");
	memset(path, 'a', sizeof(path));
	for (size_t i = 0; i < sizeof(path); i += 100)
		path[i] = '/';
	path[sizeof(path) - 1] = 0;
	open_reports();
	exit_caught = true;
	if (setjmp(exit_jump) == 0)
		open_target(path, TARGET_DIR, 0);
	exit_caught = false;
	CHECK(next_report().error == ENAMETOOLONG);
}

static void keeps_proc_off_symlinks(void)
{
	make_tree();
	put_link("root/proc", "/run");
	FAILS(open_target("/proc", TARGET_DIR, TARGET_NO_SYMLINKS), ELOOP,
		"/proc must be mounted on ordinary directory");
	FAILS(open_target("/var/run/proc", TARGET_DIR, TARGET_NO_SYMLINKS), ELOOP,
		"/var/run/proc must be mounted on ordinary directory");
	int fd = open_target("/plain/sys", TARGET_DIR, TARGET_NO_SYMLINKS);
	SAME_TEXT(path_in_root(fd), "root/plain/sys");
}

static void opens_a_link_itself_when_asked(void)
{
	make_tree();
	int fd = open_target("/var/run", TARGET_DIR, TARGET_NOFOLLOW);
	SAME_TEXT(path_in_root(fd), "root/var/run");
	fd = open_target("/dangling", TARGET_FILE, TARGET_NOFOLLOW);
	SAME_TEXT(path_in_root(fd), "root/dangling");
	CHECK(!is_there("root/missing"));
}

/* A directory that somebody moved out of the root while it was resolved, here by a root_fd that sees more than the
 * root; a sibling whose name begins like the root's is outside as well. */
static void refuses_what_was_moved_out(void)
{
	static const char *const outside[] = {"/host", "/rooted", "/"};
	char want[256];
	make_tree();
	put_dir("rooted");
	stage.root_fd = open(root_dir, O_PATH | O_DIRECTORY);
	close(resolve("/root/etc", O_PATH, 0));
	close(resolve("/root", O_PATH, 0));
	for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++) {
		const char *path = outside[i];
		strcat(strcat(strcpy(want, path), " is outside of the root: "), root_dir);
		if (path[1])
			strcat(want, path);
		FAILS(resolve(path, O_PATH, 0), EXDEV, want);
	}
}

static void finds_a_kept_mount_under_any_name(void)
{
	char from[128], to[128];
	make_tree();
	put_dir("root/proc");
	put_dir("root/proc/bus");
	keep_mount(open_target("/proc", TARGET_DIR, 0), "/proc/");
	strcat(strcpy(from, root_dir), "/root/proc");
	strcat(strcpy(to, root_dir), "/root/moved");
	CHECK(renameat(AT_FDCWD, from, AT_FDCWD, to) == 0);
	put_link("root/proc", "/run");
	int fd = resolve("/proc/bus", O_PATH, 0);
	SAME_TEXT(path_in_root(fd), "root/moved/bus");
	SAME_TEXT(path_in_root(resolve("//proc", O_PATH, 0)), "root/moved");
	SAME_TEXT(path_in_root(resolve("/proc/../etc", O_PATH, 0)), "root/etc");
	CHECK(resolve("/procs", O_PATH, 0) < 0 && errno == ENOENT);
	cover_mount(fd);
	SAME_TEXT(path_in_root(resolve("/proc", O_PATH, 0)), "root/moved");
	cover_mount(resolve("/moved", O_PATH, 0)); /* something is mounted over it */
	SAME_TEXT(path_in_root(resolve("/proc", O_PATH, 0)), "root/run");
}

static void finds_the_parent(void)
{
	const char *name;
	make_tree();
	int fd = open_parent("/var/run/dir/node", &name);
	SAME_TEXT(path_in_root(fd), "root/run/dir");
	SAME_TEXT(name, "node");
	fd = open_parent("node", &name);
	SAME_TEXT(path_in_root(fd), "root");
	FAILS(open_parent("/dev/..", &name), EINVAL, "/dev/.. does not name a file");
	FAILS(open_parent("/dev/", &name), EINVAL, "/dev/ does not name a file");
}

static int eagain_left;
int __real_sys_openat2(int dir, const char *path, int flags, mode_t mode, uint64_t how);
int __wrap_sys_openat2(int dir, const char *path, int flags, mode_t mode, uint64_t how);
int __wrap_sys_openat2(int dir, const char *path, int flags, mode_t mode, uint64_t how)
{
	if (eagain_left > 0) {
		eagain_left--;
		errno = EAGAIN;
		return -1;
	}
	return __real_sys_openat2(dir, path, flags, mode, how);
}

static void tries_again_while_names_move(void)
{
	make_tree();
	eagain_left = 20;
	int fd = open_target("/var/run", TARGET_DIR, 0);
	SAME_TEXT(path_in_root(fd), "root/run");
	eagain_left = 1 << 20;
	FAILS(open_target("/var/run", TARGET_DIR, 0), EAGAIN, "open target /var/run");
}

const struct test resolve_tests[] = {
	{"resolve opens targets inside the root", opens_targets_inside_the_root},
	{"resolve leaks no descriptor", leaks_no_descriptor},
	{"resolve fails with the path", fails_with_the_path},
	{"resolve keeps /proc off symlinks", keeps_proc_off_symlinks},
	{"resolve opens a link itself when asked", opens_a_link_itself_when_asked},
	{"resolve refuses what was moved out of the root", refuses_what_was_moved_out},
	{"resolve finds a kept procfs under any name", finds_a_kept_mount_under_any_name},
	{"resolve finds the parent", finds_the_parent},
	{"resolve tries again while names move, but not forever", tries_again_while_names_move},
	{0},
};
