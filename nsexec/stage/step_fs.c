/* Devices, links, masked and read-only paths. */
#include "stage.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int exact_node(int parent, const char *name)
{
	return sys_openat2(parent, name, O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH);
}

static bool same_node(const struct stat *st, uint32_t mode, dev_t device)
{
	return (st->st_mode & S_IFMT) == (mode & S_IFMT) && (S_ISFIFO(mode) || st->st_rdev == device);
}

/* Opens what Path names, or returns -1 if nothing is there; kept tells that it is the wanted node already. */
static int existing_node(int parent, const char *name, const struct zb_device *s, bool *kept)
{
	struct stat st;
	int fd = exact_node(parent, name);
	*kept = false;
	if (fd < 0 && errno != ENOENT)
		fail(errno, "open ", text(s->path));
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		fail(errno, "look at ", text(s->path));
	*kept = same_node(&st, s->mode, makedev(s->major, s->minor));
	if (!*kept && !(s->bind.length && S_ISREG(st.st_mode)))
		fail(EEXIST, "another kind of file is at ", text(s->path));
	return fd;
}

static void bind_device(int parent, const char *name, int target, const struct zb_device *s)
{
	const char *source = text(s->bind);
	struct stat st;
	int tree = sys_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE);
	if (tree < 0 || fstat(tree, &st) < 0)
		fail(errno, "open device ", source);
	if (!same_node(&st, s->mode, makedev(s->major, s->minor)))
		fail(EINVAL, source, " is not the device asked for");
	if (target < 0) {
		int fd = openat(parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0644);
		if (fd >= 0)
			close(fd);
		target = fd < 0 ? -1 : exact_node(parent, name);
	}
	if (target < 0)
		fail(errno, "make ", text(s->path));
	if (sys_move_mount(tree, target) < 0)
		fail(errno, "bind device ", source, " at ", text(s->path));
	close(tree);
	close(target);
}

static void make_node(int parent, const char *name, const struct zb_device *s)
{
	struct stat st;
	if (mknodat(parent, name, s->mode, makedev(s->major, s->minor)) < 0)
		fail(errno, "make node ", text(s->path));
	int fd = exact_node(parent, name);
	if (fd < 0 || fstat(fd, &st) < 0)
		fail(errno, "open ", text(s->path));
	if (!same_node(&st, s->mode, makedev(s->major, s->minor)))
		fail(EEXIST, "another file was put at ", text(s->path));
	if ((st.st_uid != s->uid || st.st_gid != s->gid) && fchownat(fd, "", s->uid, s->gid, AT_EMPTY_PATH) < 0)
		fail(errno, "set the owner of ", text(s->path));
	close(fd);
}

void step_device(const struct zb_device *s)
{
	const char *name;
	bool kept;
	int parent = open_parent(text(s->path), &name);
	int fd = existing_node(parent, name, s, &kept);
	if (kept)
		close(fd);
	else if (s->bind.length)
		bind_device(parent, name, fd, s);
	else
		make_node(parent, name, s);
	close(parent);
}

void step_symlink(const struct zb_symlink *s)
{
	const char *name;
	int parent = open_parent(text(s->path), &name);
	if (symlinkat(text(s->target), parent, name) < 0 && errno != EEXIST)
		fail(errno, "make symlink ", text(s->path));
	close(parent);
}

#define CLOSED (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* Opened before anything of the rootfs is touched: the image's /dev/null may be anything (CVE-2025-31133). */
void keep_null(void)
{
	stage.null_fd = sys_open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW);
}

/* A tree can be attached once, and only an attached one can be cloned again (before Linux 6.15). */
static int next_tree(int *kept, int fresh, const char *path)
{
	if (*kept < 0 || fresh >= 0) {
		*kept = fresh >= 0 ? fresh : *kept;
		return *kept;
	}
	int tree = sys_open_tree(*kept, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
	if (tree < 0)
		fail(errno, "clone the mask for ", path);
	return tree;
}

static int null_mask(const char *path)
{
	static bool attached;
	struct stat st;
	if (stage.null_fd < 0 || fstat(stage.null_fd, &st) < 0)
		fail(ENOENT, "/dev/null of the host, to mask ", path);
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		fail(EINVAL, "/dev/null of the host is not the null device");
	/* the inode is the host's: without this, root in the container could change its mode, owner and times */
	if (!attached && sys_mount_setattr(stage.null_fd, 0, CLOSED & ~(uint64_t)MOUNT_ATTR_NODEV, 0, 0) < 0)
		fail(errno, "make the null device read-only, to mask ", path);
	int tree = next_tree(&stage.null_fd, attached ? -1 : stage.null_fd, path);
	attached = true;
	return tree;
}

static int empty_mask(const char *path)
{
	if (stage.empty_fd >= 0)
		return next_tree(&stage.empty_fd, -1, path);
	stage.empty_fd = new_filesystem("tmpfs", "tmpfs", (struct zb_ref){0, 0}, CLOSED);
	return stage.empty_fd;
}

/* Opens a path that may be missing; -1 if it is. */
static int open_if_there(const char *path)
{
	int fd = resolve(path, O_PATH, 0);
	if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
		fail(errno, "open ", path);
	return fd;
}

void step_mask(const struct zb_mask *s)
{
	const char *path = text(s->path);
	struct stat st;
	int target = open_if_there(path);
	if (target < 0)
		return;
	if (fstat(target, &st) < 0)
		fail(errno, "look at ", path);
	int tree = S_ISDIR(st.st_mode) ? empty_mask(path) : null_mask(path);
	cover_mount(target);
	if (sys_move_mount(tree, target) < 0)
		fail(errno, "mask ", path);
	if (tree != stage.null_fd && tree != stage.empty_fd)
		close(tree);
	close(target);
}

/* One descriptor from the look-up to the mount: there is no moment at which the path could be swapped. */
void step_read_only(const struct zb_read_only *s)
{
	const char *path = text(s->path);
	int target = open_if_there(path);
	if (target < 0)
		return;
	int tree = sys_open_tree(target, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
	if (tree < 0)
		fail(errno, "clone ", path);
	if (sys_mount_setattr(tree, AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0, 0) < 0)
		fail(errno, "make read-only ", path);
	cover_mount(target);
	if (sys_move_mount(tree, target) < 0)
		fail(errno, "attach the read-only tree at ", path);
	close(tree);
	close(target);
}
