#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void makes_a_filesystem(void)
{
	make_root();
	struct zb_mount s = {.fs_type = a_text("proc"),
		.source = a_text("proc"),
		.target = a_text("/proc"),
		.options = LIST("hidepid=2", "flag"),
		.attr = 0xe,
		.rec_set = 1,
		.propagation = MS_SLAVE | MS_REC};
	step_mount(&s);
	SAME_TEXT(call_log, "fsopen proc\n"
			    "fsconfig 1 source=proc\n"
			    "fsconfig 1 hidepid=2\n"
			    "fsconfig 0 flag\n"
			    "fsconfig 6 -\n"
			    "fsmount 0xe\n"
			    "move_mount tree to root/proc\n"
			    "mount_setattr tree recursive set 0x1 clear 0x0 propagation 0x0\n"
			    "mount_setattr tree recursive set 0x0 clear 0x0 propagation 0x80000\n");
}

static void tmpfs_keeps_the_mode_of_its_target(void)
{
	make_root();
	put_dir("root/tmp");
	char path[128];
	strcat(strcpy(path, root_dir), "/root/tmp");
	CHECK(chmod(path, 01777) == 0);
	struct zb_mount s = {.fs_type = a_text("tmpfs"), .target = a_text("/tmp")};
	step_mount(&s);
	CHECK(strstr(call_log, "fsconfig 1 mode=1777\n") != NULL);
	call_log[0] = 0;
	s.options = LIST("mode=700");
	step_mount(&s);
	SAME_TEXT(call_log,
		"fsopen tmpfs\nfsconfig 1 mode=700\nfsconfig 6 -\nfsmount 0x0\nmove_mount tree to root/tmp\n");
}

static void tmpfs_on_a_new_directory_has_its_own_mode(void)
{
	make_root();
	struct zb_mount s = {.fs_type = a_text("tmpfs"), .target = a_text("/new/dir")};
	step_mount(&s);
	SAME_TEXT(call_log, "fsopen tmpfs\nfsconfig 6 -\nfsmount 0x0\nmove_mount tree to root/new/dir\n");
}

static void names_option_and_kernel_reason(void)
{
	make_root();
	struct zb_mount s = {.fs_type = a_text("overlay"), .target = a_text("/x"), .options = LIST("lowerdir=/a")};
	fake_kernel_log("e overlay: too many lower directories\n");
	fake_error("fsconfig 1 lowerdir", EINVAL);
	FAILS(step_mount(&s), EINVAL, "option lowerdir=/a: overlay: too many lower directories");
}

static void names_an_unknown_filesystem(void)
{
	make_root();
	struct zb_mount s = {.fs_type = a_text("nofs"), .target = a_text("/x")};
	fake_error("fsopen", ENODEV);
	FAILS(step_mount(&s), ENODEV, "open filesystem type nofs");
}

static void splits_long_lists_of_layers(void)
{
	char option[600] = "lowerdir=";
	make_root();
	for (int i = 0; i < 5; i++) {
		strcat(option, i ? ":/" : "/");
		memset(option + strlen(option), 'a' + i, 99);
	}
	struct zb_mount s = {.fs_type = a_text("overlay"), .target = a_text("/x"), .options = LIST(option)};
	step_mount(&s);
	CHECK(strstr(call_log, "fsconfig 1 lowerdir+=/aaa") && strstr(call_log, "eee\nfsconfig 6"));
	CHECK(!strstr(call_log, ":/"));
}

static void layers_without_a_slash_are_in_the_root(void)
{
	make_root();
	put_dir("root/a");
	put_dir("root/b");
	put_link("root/c", "/b");
	struct zb_mount s = {.fs_type = a_text("overlay"),
		.target = a_text("/x"),
		.options = LIST("lowerdir=a:/outside:c", "upperdir=b")};
	step_mount(&s);
	CHECK(strstr(call_log, "fsconfig 1 lowerdir=/proc/self/fd/") && strstr(call_log, ":/outside:/proc/self/fd/"));
	CHECK(strstr(call_log, "fsconfig 1 upperdir=/proc/self/fd/"));
	s.options = LIST("workdir=missing");
	FAILS(step_mount(&s), ENOENT, "open the layer missing in the root");
}

static void a_mount_on_the_root_becomes_the_root(void)
{
	make_root();
	put_dir("other");
	char path[128];
	strcat(strcpy(path, root_dir), "/other");
	fake_tree = open(path, O_PATH | O_DIRECTORY);
	struct zb_mount s = {.fs_type = a_text("tmpfs"), .target = a_text("/"), .options = LIST("mode=755")};
	step_mount(&s);
	s.target = a_text("/below");
	step_mount(&s);
	CHECK(is_there("other/below") && !is_there("root/below"));
}

static void copies_up_before_it_is_read_only(void)
{
	struct stat st;
	make_root();
	put_dir("root/data");
	put_dir("root/data/sub");
	put_file("root/data/sub/f", "content", 0604);
	put_link("root/data/l", "sub/f");
	put_dir("tmpfs");
	char path[128];
	strcat(strcpy(path, root_dir), "/tmpfs");
	fake_tree = open(path, O_PATH | O_DIRECTORY);
	struct zb_mount s = {
		.fs_type = a_text("tmpfs"), .target = a_text("/data"), .attr = 3, .flags = ZB_MOUNT_TMPCOPYUP};
	step_mount(&s);
	CHECK(strstr(call_log, "fsmount 0x2\n") && strstr(call_log, "mount_setattr tree set 0x1"));
	CHECK(strstr(call_log, "mount_setattr tree set 0x1") < strstr(call_log, "move_mount"));
	CHECK(is_there("tmpfs/sub/f") && is_there("tmpfs/l"));
	strcat(path, "/sub/f");
	CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0604 && st.st_size == 7);
}

static void binds_a_directory(void)
{
	make_root();
	fake_mode = S_IFDIR | 0755;
	struct zb_bind s = {.source = a_text("/src"),
		.fd = -1,
		.target = a_text("/a/b"),
		.attr_set = 1,
		.attr_clear = 2,
		.rec_set = 4,
		.propagation = MS_PRIVATE,
		.flags = ZB_MOUNT_RECURSIVE | ZB_MOUNT_SOURCE_NOFOLLOW};
	step_bind(&s);
	SAME_TEXT(call_log, "open_tree /src clone recursive nofollow\n"
			    "mount_setattr tree set 0x1 clear 0x2 propagation 0x0\n"
			    "mount_setattr tree recursive set 0x4 clear 0x0 propagation 0x0\n"
			    "move_mount tree to root/a/b\n"
			    "mount_setattr tree set 0x0 clear 0x0 propagation 0x40000\n");
}

static void binds_a_file_on_a_stub(void)
{
	struct stat st;
	make_root();
	fake_mode = S_IFREG | 0644;
	struct zb_bind s = {.source = a_text("/f"), .fd = -1, .target = a_text("/etc/f")};
	step_bind(&s);
	SAME_TEXT(call_log, "open_tree /f clone\nmove_mount tree to root/etc/f\n");
	char path[128];
	strcat(strcpy(path, root_dir), "/root/etc/f");
	CHECK(stat(path, &st) == 0 && S_ISREG(st.st_mode));
}

static void separates_a_handed_tree_from_the_host(void)
{
	make_root();
	stage.base = 100;
	CHECK(dup2(fake_tree, 102) == 102);
	struct zb_bind s = {.source = a_text("/src"), .fd = 0, .target = a_text("/t"), .propagation = MS_SHARED};
	step_bind(&s);
	SAME_TEXT(call_log, "mount_setattr tree recursive set 0x0 clear 0x0 propagation 0x80000\n"
			    "move_mount tree to root/t\n"
			    "mount_setattr tree set 0x0 clear 0x0 propagation 0x100000\n");
}

static void a_missing_source_is_an_error_unless_optional(void)
{
	make_root();
	struct zb_bind s = {.source = a_text("/no"), .fd = -1, .target = a_text("/t"), .flags = ZB_MOUNT_OPTIONAL};
	fake_error("open_tree", ENOENT);
	step_bind(&s);
	CHECK(!is_there("root/t"));
	s.flags = 0;
	FAILS(step_bind(&s), ENOENT, "open source /no");
}

static void reports_locked_flags(void)
{
	make_root();
	struct zb_bind s = {.source = a_text("/s"), .fd = -1, .target = a_text("/t"), .attr_clear = 1};
	fake_error("mount_setattr", EPERM);
	FAILS(step_bind(&s), EPERM, "set attributes of /t");
}

static void copies_a_symlink(void)
{
	char source[128], content[32];
	make_root();
	put_link("link", "/some/where");
	strcat(strcpy(source, root_dir), "/link");
	struct zb_bind s = {
		.source = a_text(source), .fd = -1, .target = a_text("/x/l"), .flags = ZB_MOUNT_COPY_SYMLINK};
	step_bind(&s);
	step_bind(&s); /* the same link is there already */
	SAME_TEXT(call_log, "");
	ssize_t n = readlinkat(stage.root_fd, "x/l", content, sizeof(content) - 1);
	CHECK(n == 11 && memcmp(content, "/some/where", 11) == 0);
}

static void remounts(void)
{
	make_root();
	put_dir("root/m");
	struct zb_remount s = {.target = a_text("/m"), .attr_set = 1, .attr_clear = 8, .options = LIST("size=1m")};
	step_remount(&s);
	SAME_TEXT(call_log, "fspick root/m\nfsconfig 1 size=1m\nfsconfig 7 -\n"
			    "mount_setattr root/m set 0x1 clear 0x8 propagation 0x0\n");
	s.target = a_text("/nothing");
	FAILS(step_remount(&s), ENOENT, "open /nothing");
}

const struct test mount_tests[] = {
	{"layers of an overlay without a slash in front are directories of the root",
		layers_without_a_slash_are_in_the_root},
	{"a mount on / is the root for what comes behind it", a_mount_on_the_root_becomes_the_root},
	{"mount makes a filesystem and attaches it to the target", makes_a_filesystem},
	{"mount of a tmpfs keeps the mode of its target", tmpfs_keeps_the_mode_of_its_target},
	{"mount of a tmpfs on a new directory leaves the mode to the kernel",
		tmpfs_on_a_new_directory_has_its_own_mode},
	{"mount names the option and the kernel's reason", names_option_and_kernel_reason},
	{"mount names an unknown filesystem", names_an_unknown_filesystem},
	{"mount splits long lists of overlay layers", splits_long_lists_of_layers},
	{"mount copies up before the tmpfs becomes read-only", copies_up_before_it_is_read_only},
	{"bind attaches a directory with its attributes", binds_a_directory},
	{"bind attaches a file to a stub file", binds_a_file_on_a_stub},
	{"bind separates a handed tree from the host's peers", separates_a_handed_tree_from_the_host},
	{"bind of a missing source is an error unless optional", a_missing_source_is_an_error_unless_optional},
	{"bind reports locked flags", reports_locked_flags},
	{"bind copies a symlink", copies_a_symlink},
	{"remount changes the superblock, then the mount", remounts},
	{0},
};
