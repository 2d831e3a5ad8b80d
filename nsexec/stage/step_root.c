/* The container's root: from a directory of the host to the root of the mount namespace. */
#include "stage.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void set_propagation(int mount, uint64_t propagation, const char *where)
{
	if (!propagation)
		return;
	unsigned recursive = propagation & MS_REC ? AT_RECURSIVE : 0;
	if (sys_mount_setattr(mount, recursive, 0, 0, propagation & ~(uint64_t)MS_REC) < 0)
		fail(errno, "set the propagation of ", where);
}

/* Where the container's root was mounted: the path leads to what lies on top there. */
static const char *place;

static int open_directory(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fail(errno, "open ", path);
	return fd;
}

void step_propagation(const struct zb_propagation *s)
{
	int fd = open_directory("/");
	stage.propagation = s->flags & ~(uint64_t)MS_REC;
	/* mount_setattr refuses a root without a parent, the initial ramdisk (--no-pivot), on kernels before 6.8 */
	if (sys_mount_setattr(fd, AT_RECURSIVE, 0, 0, stage.propagation) < 0 &&
		(errno != EINVAL || sys_mount_propagation("/", stage.propagation | MS_REC) < 0))
		fail(errno, "set the propagation of /");
	close(fd);
}

/* pivot_root refuses a new root below a shared mount, and what is mounted on one would show up on the host. The mount
 * that holds a directory is the one that takes a propagation: a directory that is no mount point answers EINVAL. */
static void make_holder_private(const char *path)
{
	int fd = open_directory(path);
	struct stat here, up;
	while (sys_mount_setattr(fd, 0, 0, 0, MS_PRIVATE) < 0) {
		if (errno != EINVAL)
			fail(errno, "make the mount of ", path, " private");
		int parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (parent < 0 || fstat(fd, &here) < 0 || fstat(parent, &up) < 0)
			fail(errno, "open a parent of ", path);
		close(fd);
		fd = parent;
		if (here.st_ino == up.st_ino && here.st_dev == up.st_dev)
			break; /* the root of a chroot */
	}
	close(fd);
}

void step_root(const struct zb_root *s)
{
	const char *path = text(s->path);
	int tree = plan_fd(s->fd);
	int target = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	keep_null();
	if (target < 0 && (tree < 0 || errno != EACCES))
		fail(errno, "open root ", path);
	if (target < 0) {
		/* zbox opened the tree for a user who cannot reach the path; any directory can hold it */
		path = "/";
		target = open_directory(path);
	}
	if (tree < 0) {
		tree = sys_open_tree(target, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
		if (tree < 0)
			fail(errno, "clone the tree of root ", path);
		/* pivot_root refuses a shared root; root_attr shares it again in the end */
		if (stage.propagation == MS_SHARED && sys_mount_setattr(tree, 0, 0, 0, MS_SLAVE) < 0)
			fail(errno, "unshare root ", path);
	} else {
		set_propagation(tree, (stage.propagation == MS_PRIVATE ? MS_PRIVATE : MS_SLAVE) | MS_REC, path);
	}
	/* behind a propagation step nothing is shared any more, unless the whole tree was asked to be */
	if (stage.propagation == MS_SHARED || !stage.propagation)
		make_holder_private(path);
	if (sys_move_mount(tree, target) < 0)
		fail(errno, "mount root ", path);
	close(target);
	place = strcmp(path, "/") ? path : "/.."; /* / itself is the old root */
	keep_root(tree);
}

static void reopen_root(void)
{
	if (chdir("/") < 0)
		fail(errno, "change to /");
	keep_root(open_directory("/"));
}

/* Something may lie on the old root: what held the new one, where that was mounted on (see step_root and done_with). It
 * is that which "." means to umount(2), so it goes first; if the old root stayed, "/.." and every exec would lead to
 * it. */
static void detach_stack(void)
{
	int detached = 0;
	while (sys_umount2(".", MNT_DETACH) == 0)
		detached++;
	if (!detached || errno != EINVAL) /* which means: not mounted here any more */
		fail(errno, "detach the old root");
}

/* What a hook has mounted on the root is the root, as with other runtimes. */
static int final_root(void)
{
	if (stage.hooked && place)
		keep_root(open_directory(place));
	return need_root();
}

/* The old root is stacked on the new one and detached from there, see pivot_root(2): no directory is needed for it. */
void step_pivot_root(void)
{
	int old = open_directory("/");
	if (fchdir(final_root()) < 0)
		fail(errno, "change to the root");
	if (sys_pivot_root(".", ".") < 0)
		fail(errno, "pivot_root");
	/* unmounting below a shared mount would unmount on the host, too */
	if (stage.propagation != MS_PRIVATE && sys_mount_setattr(old, AT_RECURSIVE, 0, 0, MS_SLAVE) < 0)
		fail(errno, "separate the old root");
	if (fchdir(old) < 0)
		fail(errno, "change to the old root");
	detach_stack();
	close(old);
	reopen_root();
}

/* A full procfs or sysfs elsewhere in the namespace would let a user namespace mount fresh ones without the masks. */
void step_move_root(void)
{
	static const char *const full[] = {"/proc", "/sys"};
	int fd = final_root();
	int old = open_directory("/");
	for (size_t i = 0; i < sizeof(full) / sizeof(*full); i++)
		if (sys_umount2(full[i], MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
			fail(errno, "unmount the host's ", full[i]);
	if (fchdir(fd) < 0)
		fail(errno, "change to the root");
	if (sys_move_mount(fd, old) < 0)
		fail(errno, "move the root to /");
	close(old);
	if (chroot(".") < 0)
		fail(errno, "chroot");
	reopen_root();
}

/* Without a mount namespace of its own nothing may be mounted, not even the root on itself. */
void step_chroot(const struct zb_chroot *s)
{
	int fd = open_directory(text(s->path));
	if (fchdir(fd) < 0 || chroot(".") < 0)
		fail(errno, "chroot into ", text(s->path));
	close(fd);
	reopen_root();
}

void step_root_attr(const struct zb_root_attr *s)
{
	if (s->attr_set && sys_mount_setattr(need_root(), 0, s->attr_set, 0, 0) < 0)
		fail(errno, "set the attributes of the root");
	set_propagation(need_root(), s->propagation, "the root");
}
