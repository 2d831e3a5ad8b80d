#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void null_device(void)
{
	fake_mode = S_IFCHR | 0666;
	fake_device = makedev(1, 3);
}

static void masks_files_with_clones_of_one_null(void)
{
	make_root();
	put_file("root/a", "", 0644);
	put_file("root/b", "", 0644);
	null_device();
	keep_null();
	step_mask(&(struct zb_mask){.path = a_text("/a")});
	step_mask(&(struct zb_mask){.path = a_text("/missing")});
	step_mask(&(struct zb_mask){.path = a_text("/a/below/a/file")});
	step_mask(&(struct zb_mask){.path = a_text("/b")});
	SAME_TEXT(call_log, "open_tree /dev/null clone nofollow\n"
			    "mount_setattr tree set 0xb clear 0x0 propagation 0x0\n"
			    "move_mount tree to root/a\n"
			    "open_tree tree clone\n"
			    "move_mount tree to root/b\n");
}

static void masks_directories_with_clones_of_one_tmpfs(void)
{
	make_root();
	put_dir("root/a");
	put_dir("root/b");
	step_mask(&(struct zb_mask){.path = a_text("/a")});
	step_mask(&(struct zb_mask){.path = a_text("/b")});
	SAME_TEXT(call_log, "fsopen tmpfs\nfsconfig 1 source=tmpfs\nfsconfig 6 -\nfsmount 0xf\n"
			    "move_mount tree to root/a\n"
			    "open_tree tree clone\n"
			    "move_mount tree to root/b\n");
}

static void refuses_a_false_null_device(void)
{
	make_root();
	put_file("root/a", "", 0644);
	null_device();
	fake_device = makedev(1, 5);
	keep_null();
	FAILS(step_mask(&(struct zb_mask){.path = a_text("/a")}), EINVAL,
		"/dev/null of the host is not the null device");
	fake_mode = S_IFREG;
	FAILS(step_mask(&(struct zb_mask){.path = a_text("/a")}), EINVAL,
		"/dev/null of the host is not the null device");
}

static void makes_a_tree_read_only_through_one_descriptor(void)
{
	make_root();
	put_dir("root/sys");
	step_read_only(&(struct zb_read_only){.path = a_text("/sys")});
	step_read_only(&(struct zb_read_only){.path = a_text("/missing")});
	SAME_TEXT(call_log, "open_tree root/sys clone recursive\n"
			    "mount_setattr tree recursive set 0x1 clear 0x0 propagation 0x0\n"
			    "move_mount tree to root/sys\n");
}

static struct zb_device a_device(const char *path, const char *bind)
{
	return (struct zb_device){
		.path = a_text(path), .mode = S_IFCHR | 0666, .major = 1, .minor = 3, .bind = a_text(bind)};
}

static void refuses_another_file_in_the_way_of_a_device(void)
{
	make_root();
	put_dir("root/dev");
	put_file("root/dev/null", "", 0644);
	put_link("root/dev/zero", "/dev/null");
	struct zb_device s = a_device("/dev/null", "");
	FAILS(step_device(&s), EEXIST, "another kind of file is at /dev/null");
	s = a_device("/dev/zero", "");
	FAILS(step_device(&s), EEXIST, "another kind of file is at /dev/zero");
	s = a_device("/dev/zero", "/dev/zero");
	null_device();
	FAILS(step_device(&s), EEXIST, "another kind of file is at /dev/zero");
	CHECK(!strstr(call_log, "mknod") && !strstr(call_log, "move_mount"));
}

static void makes_nodes_inside_the_root_behind_a_linked_dev(void)
{
	make_root();
	put_dir("host");
	put_link("root/dev", "../host");
	struct zb_device s = a_device("/dev/null", "");
	/* the faked mknod leaves nothing behind */
	FAILS(step_device(&s), ENOENT, "open /dev/null");
	SAME_TEXT(call_log, "mknod root/host/null 020666 0x103\n");
	CHECK(is_there("root/host") && !is_there("host/null"));
}

static void binds_a_device(void)
{
	make_root();
	null_device();
	struct zb_device s = a_device("/dev/null", "/dev/null");
	step_device(&s);
	SAME_TEXT(call_log, "open_tree /dev/null clone\nmove_mount tree to root/dev/null\n");
}

static void refuses_to_bind_another_device(void)
{
	make_root();
	null_device();
	fake_device = makedev(1, 5);
	struct zb_device s = a_device("/dev/null", "/dev/null");
	FAILS(step_device(&s), EINVAL, "/dev/null is not the device asked for");
	CHECK(!is_there("root/dev/null"));
}

static void keeps_an_existing_node(void)
{
	char path[128];
	make_root();
	strcat(strcpy(path, root_dir), "/root/fifo");
	CHECK(mkfifo(path, 0600) == 0);
	step_device(&(struct zb_device){.path = a_text("/fifo"), .mode = S_IFIFO | 0666});
	SAME_TEXT(call_log, "");
	struct zb_device s = a_device("/fifo", "");
	FAILS(step_device(&s), EEXIST, "another kind of file is at /fifo");
}

static void makes_symlinks_and_leaves_files_alone(void)
{
	char content[64];
	make_root();
	struct zb_symlink s = {.path = a_text("/dev/fd"), .target = a_text("/proc/self/fd")};
	step_symlink(&s);
	s.target = a_text("/elsewhere");
	step_symlink(&s);
	ssize_t n = readlinkat(stage.root_fd, "dev/fd", content, sizeof(content));
	CHECK(n == 13 && memcmp(content, "/proc/self/fd", 13) == 0);
}

static void owns_only_pipes_and_sockets_and_terminals(void)
{
	int pair[2];
	make_root();
	put_file("plain", "", 0644);
	char path[128];
	strcat(strcpy(path, root_dir), "/plain");
	CHECK(pipe(pair) == 0);
	int saved = dup(1);
	dup2(open(path, O_WRONLY), 0);
	dup2(pair[1], 1);
	int saved_errors = dup(2);
	dup2(0, 2);
	step_own_stdio(&(struct zb_own_stdio){.uid = 1000});
	dup2(saved, 1);
	dup2(saved_errors, 2);
	SAME_TEXT(call_log, "fchown 1 1000 -1\n");
}

static void takes_the_containers_null_for_the_hosts(void)
{
	char path[128];
	make_root();
	put_file("plain", "", 0644);
	strcat(strcpy(path, root_dir), "/plain");
	dup2(open("/dev/null", O_WRONLY), 0);
	FAILS(step_own_stdio(&(struct zb_own_stdio){.uid = 0}), ENOENT,
		"open /dev/null of the container, which is to be a standard stream");
	put_dir("root/dev");
	put_file("root/dev/null", "", 0644);
	FAILS(step_own_stdio(&(struct zb_own_stdio){.uid = 0}), EINVAL,
		"open /dev/null of the container, which is to be a standard stream");
	keep_root(open("/", O_PATH | O_DIRECTORY));
	step_open_proc();
	CHECK(fcntl(0, F_SETFL, O_APPEND) == 0);
	step_own_stdio(&(struct zb_own_stdio){.uid = 0});
	CHECK((fcntl(0, F_GETFL) & (O_ACCMODE | O_APPEND)) == O_RDWR); /* another open file than before */
	dup2(open(path, O_RDONLY), 0);
}

const struct test fs_tests[] = {
	{"mask hides files behind clones of one null device", masks_files_with_clones_of_one_null},
	{"mask hides directories behind clones of one tmpfs", masks_directories_with_clones_of_one_tmpfs},
	{"mask refuses a false null device", refuses_a_false_null_device},
	{"read_only goes through one descriptor", makes_a_tree_read_only_through_one_descriptor},
	{"device refuses another file in its way", refuses_another_file_in_the_way_of_a_device},
	{"device stays inside the root behind a linked /dev", makes_nodes_inside_the_root_behind_a_linked_dev},
	{"device binds the host's node", binds_a_device},
	{"device refuses to bind another device", refuses_to_bind_another_device},
	{"device keeps an existing node", keeps_an_existing_node},
	{"symlink leaves existing files alone", makes_symlinks_and_leaves_files_alone},
	{"own_stdio takes the container's null device", takes_the_containers_null_for_the_hosts},
	{"own_stdio leaves files alone", owns_only_pipes_and_sockets_and_terminals},
	{0},
};
