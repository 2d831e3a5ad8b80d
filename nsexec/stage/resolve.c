/* Paths inside the container's root. A path is resolved once, by openat2 in the root or by the walk below, and from
 * then on only its descriptor is used: what the image, a volume or another process does to the names later has no
 * effect (CVE-2019-18837, CVE-2021-30465, CVE-2024-45310, CVE-2026-41579 and relatives). */
#include "stage.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define RACE_RETRIES 128
#define MAX_LINKS    40

static char root_path[PATH_SIZE]; /* of root_fd in the process's root; "" when unknown */
static size_t root_path_length;

/* The path that the kernel knows a descriptor by, through the verified procfs; its length, or 0 when unknown. */
static size_t path_of(int fd, char *path, size_t size)
{
	char link[32] = "self/fd/";
	if (stage.proc_fd < 0)
		return 0;
	const char *digits = decimal((uint64_t)fd);
	memcpy(link + 8, digits, strlen(digits) + 1);
	ssize_t n = readlinkat(stage.proc_fd, link, path, size - 1);
	if (n <= 0)
		return 0;
	path[n] = 0;
	return (size_t)n;
}

void keep_root(int fd)
{
	if (stage.root_fd >= 0)
		close(stage.root_fd);
	stage.root_fd = fd;
	root_path_length = path_of(fd, root_path, sizeof(root_path));
	if (root_path_length == 1 && root_path[0] == '/')
		root_path_length = 0; /* everything that has a path is below */
}

/* exec has no root step: its root is that of the mount namespace that it joined. */
int need_root(void)
{
	if (stage.root_fd < 0) {
		int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			fail(errno, "open /");
		keep_root(fd);
	}
	return stage.root_fd;
}

/* A directory may have been moved out of the root while it was resolved: look where it is now. */
static void check_inside(int fd, const char *path)
{
	static char now[PATH_SIZE + 16];
	size_t n = path_of(fd, now, sizeof(now));
	if (n == 0)
		return;
	bool inside = now[0] == '/';
	if (inside && root_path_length)
		inside = n >= root_path_length && memcmp(now, root_path, root_path_length) == 0 &&
			 (now[root_path_length] == '/' || now[root_path_length] == 0);
	if (!inside)
		fail(EXDEV, path, " is outside of the root: ", now);
}

static int open_retry(int dir, const char *path, int flags, uint64_t how)
{
	int fd = -1;
	for (int i = 0; i < RACE_RETRIES; i++) {
		fd = sys_openat2(dir, path, flags, 0, how);
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd;
}

static const char *relative(const char *path)
{
	while (*path == '/')
		path++;
	return *path ? path : ".";
}

/* The procfs and sysfs of the container. Paths below them are resolved from the mount itself: whoever renames the
 * directory under it, or puts a link in its place, would otherwise make the masks miss it (CVE-2023-27561). */
#define MAX_KEPT 8
static struct kept_mount {
	int fd;
	const char *path;
	size_t length; /* without slashes at the end */
} kept[MAX_KEPT];
static int kept_count;

/* Takes over the descriptor. */
void keep_mount(int fd, const char *path)
{
	path = relative(path);
	size_t length = strlen(path);
	while (length > 0 && path[length - 1] == '/')
		length--;
	if (kept_count < MAX_KEPT)
		kept[kept_count++] = (struct kept_mount){fd, path, length};
	else
		close(fd);
}

/* Tells that something is about to be mounted on target: what it covers is not what paths lead to any longer. */
void cover_mount(int target)
{
	struct stat t, k;
	if (kept_count == 0 || fstat(target, &t) < 0)
		return;
	for (int i = 0; i < kept_count; i++)
		if (fstat(kept[i].fd, &k) == 0 && k.st_dev == t.st_dev && k.st_ino == t.st_ino) {
			close(kept[i].fd);
			kept[i--] = kept[--kept_count];
		}
}

void forget_mounts(void)
{
	while (kept_count > 0)
		close(kept[--kept_count].fd);
}

/* Where to start with a path, which becomes relative to it. */
static int start_of(const char **path)
{
	*path = relative(*path);
	for (int i = 0; i < kept_count && !strstr(*path, ".."); i++) {
		size_t n = kept[i].length;
		if (strncmp(*path, kept[i].path, n) == 0 && ((*path)[n] == '/' || (*path)[n] == 0)) {
			*path = relative(*path + n);
			return kept[i].fd;
		}
	}
	return need_root();
}

int resolve(const char *path, int flags, uint64_t how)
{
	const char *rest = path;
	int start = start_of(&rest);
	int fd = open_retry(start, rest, flags, RESOLVE_IN_ROOT | how);
	if (fd >= 0)
		check_inside(fd, path);
	return fd;
}

/* The walk: for paths that do not exist as a whole. It creates what is missing component by component below descriptors
 * and follows symlinks itself, also those that dangle, as if the root were /. */
struct walk {
	const char *path; /* as given, for messages */
	int dir;
	char done[PATH_SIZE], rest[PATH_SIZE]; /* done: the physical path of dir below the root */
	size_t done_length;
	int links;
};
static struct walk walk;

static void walk_to(int fd)
{
	if (walk.dir != stage.root_fd)
		close(walk.dir);
	walk.dir = fd;
}

static void walk_up(void)
{
	while (walk.done_length > 0 && walk.done[--walk.done_length] != '/')
		;
	walk.done[walk.done_length] = 0;
	int fd = open_retry(stage.root_fd, walk.done_length ? relative(walk.done) : ".", O_PATH | O_DIRECTORY,
		RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
	if (fd < 0)
		fail(errno, "open the parent in ", walk.path);
	walk_to(fd);
}

static void walk_down(int fd, const char *name)
{
	size_t n = strlen(name);
	if (walk.done_length + n + 2 > sizeof(walk.done))
		fail(ENAMETOOLONG, walk.path);
	walk.done[walk.done_length++] = '/';
	memcpy(walk.done + walk.done_length, name, n + 1);
	walk.done_length += n;
	walk_to(fd);
}

/* Puts the content of a symlink before the rest of the path. */
static void walk_link(int link)
{
	static char content[PATH_SIZE];
	struct statfs fs;
	if (++walk.links > MAX_LINKS)
		fail(ELOOP, walk.path);
	if (fstatfs(link, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC)
		fail(ELOOP, walk.path, ": link in a procfs");
	ssize_t n = readlinkat(link, "", content, sizeof(content) - 1);
	if (n < 0)
		fail(errno, "read a link in ", walk.path);
	size_t length = (size_t)n, rest = strlen(walk.rest);
	if (length + 1 + rest + 1 > sizeof(walk.rest))
		fail(ENAMETOOLONG, walk.path);
	memmove(walk.rest + length + 1, walk.rest, rest + 1);
	memcpy(walk.rest, content, length);
	walk.rest[length] = '/';
	close(link);
	if (content[0] == '/') {
		walk.done_length = 0;
		walk.done[0] = 0;
		walk_to(stage.root_fd);
	}
}

static void create(const char *name, enum target_kind kind, bool last)
{
	if (!last || kind == TARGET_DIR) {
		if (mkdirat(walk.dir, name, 0755) < 0 && errno != EEXIST)
			fail(errno, "make directory ", name, " of ", walk.path);
		return;
	}
	int fd = openat(walk.dir, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd >= 0)
		close(fd);
	else if (errno != EEXIST)
		fail(errno, "make file ", name, " of ", walk.path);
}

/* Takes the first component off rest; "" at the end. */
static const char *take_component(char *name, size_t size)
{
	char *p = walk.rest;
	while (*p == '/')
		p++;
	size_t n = strcspn(p, "/");
	if (n >= size)
		fail(ENAMETOOLONG, walk.path);
	memcpy(name, p, n);
	name[n] = 0;
	p += n;
	while (*p == '/')
		p++;
	memmove(walk.rest, p, strlen(p) + 1);
	return name;
}

/* One component; returns the target once it is reached, else -1. */
static int walk_component(const char *name, enum target_kind kind, unsigned flags)
{
	bool last = walk.rest[0] == 0;
	struct stat st;
	int fd;
	for (int i = 0;; i++) {
		fd = open_retry(walk.dir, name, O_PATH | O_NOFOLLOW, RESOLVE_BENEATH);
		if (fd >= 0)
			break;
		if (errno != ENOENT || i == RACE_RETRIES)
			fail(errno, "open ", name, " of ", walk.path);
		create(name, kind, last);
	}
	if (fstat(fd, &st) < 0)
		fail(errno, "look at ", name, " of ", walk.path);
	if (S_ISLNK(st.st_mode) && (flags & TARGET_NO_SYMLINKS))
		fail(ELOOP, walk.path, " must be mounted on ordinary directory");
	if (S_ISLNK(st.st_mode) && !(last && (flags & TARGET_NOFOLLOW))) {
		walk_link(fd);
		return -1;
	}
	if (last && !S_ISDIR(st.st_mode))
		return fd;
	walk_down(fd, name);
	return -1;
}

static int walk_target(const char *path, enum target_kind kind, unsigned flags)
{
	char name[256];
	if (strlen(path) >= sizeof(walk.rest))
		fail(ENAMETOOLONG, path);
	walk.path = path;
	walk.dir = stage.root_fd;
	walk.done_length = 0;
	walk.done[0] = 0;
	walk.links = 0;
	memcpy(walk.rest, path, strlen(path) + 1);
	for (;;) {
		take_component(name, sizeof(name));
		if (!*name)
			break;
		if (strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0) {
			walk_up();
			continue;
		}
		int fd = walk_component(name, kind, flags);
		if (fd >= 0) {
			walk_to(stage.root_fd);
			return fd;
		}
	}
	if (walk.dir == stage.root_fd)
		return fcntl(stage.root_fd, F_DUPFD_CLOEXEC, 0);
	return walk.dir;
}

/* The target of a mount, created if it is missing. */
int open_target(const char *path, enum target_kind kind, unsigned flags)
{
	uint64_t how = 0;
	int open_flags = O_PATH;
	if (flags & TARGET_NO_SYMLINKS)
		how |= RESOLVE_NO_SYMLINKS;
	if (flags & TARGET_NOFOLLOW)
		open_flags |= O_NOFOLLOW;
	int fd = resolve(path, open_flags, how);
	if (fd < 0 && errno == ELOOP && (flags & TARGET_NO_SYMLINKS))
		fail(ELOOP, path, " must be mounted on ordinary directory");
	if (fd < 0 && errno != ENOENT)
		fail(errno, "open target ", path);
	stage.made_target = fd < 0;
	if (fd < 0) {
		fd = walk_target(path, kind, flags);
		if (fd < 0)
			fail(errno, "open target ", path);
		check_inside(fd, path);
	}
	return fd;
}

/* The directory that holds path, created if it is missing; last is the name in it. */
int open_parent(const char *path, const char **last)
{
	static char parent[PATH_SIZE];
	const char *slash = strrchr(path, '/');
	*last = slash ? slash + 1 : path;
	if (!**last || strcmp(*last, ".") == 0 || strcmp(*last, "..") == 0)
		fail(EINVAL, path, " does not name a file");
	size_t n = slash ? (size_t)(slash - path) : 0;
	if (n >= sizeof(parent))
		fail(ENAMETOOLONG, path);
	memcpy(parent, path, n);
	parent[n] = 0;
	need_root();
	return open_target(n ? parent : "/", TARGET_DIR, 0);
}
