/* The root of a sandbox on any runtime: "layers ROOTFS [base] [upper]", a createContainer hook of the bundles that
 * `zbox spec -c` writes. It puts an overlay on the rootfs, which is its lowest layer but for base, and moves there what
 * the runtime has mounted: most runtimes cannot mount on / themselves, but all of them make that their root which lies
 * on the rootfs when the hooks are done. The other layers are mounts in /dev, where no rootfs needs a directory for
 * them, and go when they have served. */
#include "stage.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BASE  ".base"
#define UPPER ".upper"

#define MAX_MOUNTS 1024

/* What lies on the rootfs itself; what lies on that comes along. */
static struct {
	int fd;
	const char *path; /* below the root */
} mounts[MAX_MOUNTS];
static int mount_count;
static char paths[64 * 1024];
static size_t paths_used;

static int open_here(int dir, const char *path, int flags)
{
	int fd = openat(dir, path, O_PATH | O_CLOEXEC | flags);
	if (fd < 0)
		fail(errno, "open ", path);
	return fd;
}

/* One mount of mountinfo, see proc_pid_mountinfo(5). */
struct line {
	uint64_t id, parent;
	char *point;
};

static uint64_t number(const char *digits)
{
	uint64_t n = 0;
	for (; *digits >= '0' && *digits <= '9'; digits++)
		n = n * 10 + (uint64_t)(*digits - '0');
	return n;
}

/* Blanks and backslashes of a path are \ and three octal digits. */
static void unescape(char *path)
{
	char *to = path;
	for (; *path; path++) {
		if (*path == '\\' && path[1] && path[2] && path[3]) {
			*to++ = (char)((path[1] - '0') * 64 + (path[2] - '0') * 8 + (path[3] - '0'));
			path += 3;
		} else
			*to++ = *path;
	}
	*to = 0;
}

static void parse(char *text, struct line *line)
{
	char *fields[5] = {text};
	for (int i = 1; i < 5; i++) {
		char *end = strchr(fields[i - 1], ' ');
		if (!end)
			fail(EINVAL, "read the mounts: ", text);
		*end = 0;
		fields[i] = end + 1;
	}
	fields[4][strcspn(fields[4], " ")] = 0;
	unescape(fields[4]);
	*line = (struct line){number(fields[0]), number(fields[1]), fields[4]};
}

/* Calls with each mount of the namespace. */
static void each_mount(void (*with)(const struct line *, void *), void *data)
{
	static char buffer[4 * PATH_SIZE];
	size_t used = 0;
	int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail(errno, "open /proc/self/mountinfo");
	for (;;) {
		ssize_t n = read(fd, buffer + used, sizeof(buffer) - 1 - used);
		if (n < 0)
			fail(errno, "read /proc/self/mountinfo");
		if (n == 0)
			break;
		used += (size_t)n;
		buffer[used] = 0;
		char *start = buffer;
		for (char *end; (end = strchr(start, '\n')); start = end + 1) {
			struct line line;
			*end = 0;
			parse(start, &line);
			with(&line, data);
		}
		used -= (size_t)(start - buffer);
		memmove(buffer, start, used);
	}
	close(fd);
}

struct root {
	int fd;
	uint64_t id;
	char point[PATH_SIZE];
};

static void find_point(const struct line *line, void *data)
{
	struct root *root = data;
	size_t n = strlen(line->point);
	if (line->id != root->id)
		return;
	while (n > 0 && line->point[n - 1] == '/')
		n--;
	memcpy(root->point, line->point, n);
	root->point[n] = 0;
}

static void find_child(const struct line *line, void *data)
{
	const struct root *root = data;
	size_t prefix = strlen(root->point);
	if (line->parent != root->id || strncmp(line->point, root->point, prefix) || line->point[prefix] != '/')
		return;
	const char *path = line->point + prefix + 1;
	size_t n = strlen(path) + 1;
	if (mount_count == MAX_MOUNTS || n > sizeof(paths) - paths_used)
		fail(E2BIG, "more mounts than a root can have");
	memcpy(paths + paths_used, path, n);
	mounts[mount_count].path = paths + paths_used;
	mounts[mount_count++].fd = open_here(root->fd, path, O_NOFOLLOW);
	paths_used += n;
}

static void find_mounts(int fd)
{
	static struct root root;
	root.fd = fd;
	if (sys_mount_id(fd, &root.id) < 0)
		fail(errno, "look at the mount of the rootfs");
	each_mount(find_point, &root);
	each_mount(find_child, &root);
}

static void make_directory(const char *path)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		fail(errno, "make ", path);
}

static void set(int context, const char *key, const char *value)
{
	enum linux_fsconfig how = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
	if (sys_fsconfig(context, how, key, value) < 0)
		fail(errno, "set ", key, " of the overlay");
}

/* Of the layers in the current directory, the rootfs. userxattr: see translate/layers.go. */
static int new_overlay(bool base, bool upper)
{
	int context = sys_fsopen("overlay");
	if (context < 0)
		fail(errno, "open filesystem type overlay");
	set(context, "source", "overlay");
	set(context, "lowerdir", base ? ".:dev/" BASE : ".");
	if (upper) {
		make_directory("dev/" UPPER "/upper");
		make_directory("dev/" UPPER "/work");
		set(context, "upperdir", "dev/" UPPER "/upper");
		set(context, "workdir", "dev/" UPPER "/work");
	}
	set(context, "userxattr", NULL);
	int mount = sys_fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL);
	if (mount == 0)
		mount = sys_fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	if (mount < 0)
		fail(errno, "mount the overlay",
			errno == EPERM ? " (without root privileges it needs Linux 5.11)" : "");
	close(context);
	return mount;
}

/* The kernel's own are on directories, whatever an earlier run has put in their place. */
static unsigned flags_for(const char *path)
{
	bool own = strcmp(path, "proc") == 0 || strcmp(path, "sys") == 0 || strcmp(path, "dev") == 0;
	return own ? TARGET_NO_SYMLINKS : 0;
}

static void move(int mount, const char *path, int target)
{
	if (sys_move_mount(mount, target) < 0)
		fail(errno, "move the mount at ", path);
	close(target);
	close(mount);
}

/* The skeleton has all the directories and files that mounts are on. But an earlier run may have removed some from the
 * upper layer, or put links in their place, which may lead into other mounts: these come last. */
static void move_mounts(void)
{
	for (int i = 0; i < mount_count; i++) {
		int target = resolve(mounts[i].path, O_PATH, RESOLVE_NO_SYMLINKS);
		if (target < 0)
			continue;
		move(mounts[i].fd, mounts[i].path, target);
		mounts[i].fd = -1;
	}
	for (int i = 0; i < mount_count; i++) {
		const char *path = mounts[i].path;
		struct stat st;
		if (mounts[i].fd < 0)
			continue;
		if (fstat(mounts[i].fd, &st) < 0)
			fail(errno, "look at ", path);
		move(mounts[i].fd, path,
			open_target(path, S_ISDIR(st.st_mode) ? TARGET_DIR : TARGET_FILE, flags_for(path)));
	}
}

static void show_in_rootfs(int root, const char *name)
{
	struct stat there, here;
	int target = openat(root, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int tree = sys_open_tree(stage.root_fd, name, OPEN_TREE_CLONE | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);
	/* it is a link, or an earlier run has removed it or put something else in its place */
	bool fits = target >= 0 && tree >= 0 && fstat(target, &there) == 0 && fstat(tree, &here) == 0 &&
		    (there.st_mode & S_IFMT) == (here.st_mode & S_IFMT) && !S_ISLNK(here.st_mode);
	if (fits && sys_move_mount(tree, target) < 0)
		fail(errno, "show /", name, " in the rootfs");
	if (tree >= 0)
		close(tree);
	if (target >= 0)
		close(target);
}

/* A runtime that holds the rootfs by a descriptor, as runc 1.5 does, never sees what lies on it. There all that
 * has a name in the rootfs shows what it does in the overlay; only / itself is what it was, and nothing can be written
 * there. */
static void fill_rootfs(int root)
{
	static _Alignas(struct linux_dirent64) char buffer[8192];
	int list = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (list < 0)
		fail(errno, "open the rootfs");
	for (ssize_t n; (n = sys_getdents(list, buffer, sizeof(buffer))) != 0;) {
		if (n < 0)
			fail(errno, "read the rootfs");
		for (ssize_t at = 0; at < n;) {
			const struct linux_dirent64 *entry = (const void *)(buffer + at);
			at += entry->reclen;
			if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0)
				show_in_rootfs(root, entry->name);
		}
	}
	close(list);
	if (sys_mount_setattr(root, 0, MOUNT_ATTR_RDONLY, 0, 0) < 0)
		fail(errno, "make the rootfs read-only");
}

/* The overlay has its layers without them, too. */
static void remove_layer(const char *name)
{
	if (sys_umount2(name, MNT_DETACH) < 0 || rmdir(name) < 0)
		fail(errno, "remove ", name);
}

static bool named(char **names, const char *name)
{
	for (; *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

_Noreturn void run_layers(char **argv)
{
	bool base = named(argv + 1, "base"), upper = named(argv + 1, "upper");
	umask(0);
	/* zbox and runc start hooks there, also where the sandbox's root does not reach the path */
	if (chdir(argv[0]) < 0 && errno != EACCES)
		fail(errno, "change to ", argv[0]);
	step_open_proc();
	int root = open_here(AT_FDCWD, ".", O_DIRECTORY);
	int dev = open_here(root, "dev", O_DIRECTORY | O_NOFOLLOW);
	find_mounts(root);
	int overlay = new_overlay(base, upper);
	if (sys_move_mount(overlay, root) < 0)
		fail(errno, "mount the overlay on ", argv[0]);
	keep_root(overlay);
	move_mounts();
	if (fchdir(dev) < 0)
		fail(errno, "change to /dev");
	if (base)
		remove_layer(BASE);
	if (upper)
		remove_layer(UPPER);
	fill_rootfs(root);
	_exit(0);
}
