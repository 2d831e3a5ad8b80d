/* The terminal. */
#include "stage.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

/* The multiplexer of the container's own devpts, whatever the image put at /dev/ptmx or /dev/pts (CVE-2025-52565). */
static int open_master(void)
{
	struct statfs fs;
	struct stat st;
	int pts = resolve("/dev/pts", O_PATH | O_DIRECTORY, 0);
	if (pts < 0 || fstatfs(pts, &fs) < 0)
		fail(errno, "open /dev/pts");
	if (fs.f_type != DEVPTS_SUPER_MAGIC)
		fail(ENODEV, "/dev/pts is not a devpts");
	int master = sys_openat2(pts, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
	if (master < 0 || fstat(master, &st) < 0)
		fail(errno, "open /dev/pts/ptmx");
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
		fail(ENODEV, "/dev/pts/ptmx is not the terminal multiplexer");
	close(pts);
	return master;
}

static int open_peer(int master, const struct zb_console *s)
{
	int unlock = 0;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		fail(errno, "unlock the terminal");
	int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (peer < 0)
		fail(errno, "open the terminal");
	if (s->columns || s->rows) {
		struct winsize size = {.ws_row = (unsigned short)s->rows, .ws_col = (unsigned short)s->columns};
		if (ioctl(peer, TIOCSWINSZ, &size) < 0)
			fail(errno, "set the size of the terminal");
	}
	if (fchown(peer, s->uid, s->gid) < 0) {
		if (errno != EPERM && errno != EINVAL && errno != EROFS)
			fail(errno, "set the owner of the terminal");
		warn(errno, "set the owner of the terminal", "");
	}
	return peer;
}

/* The place for the console: never through a symlink (CVE-2026-88264). */
static int open_console(void)
{
	const char *name;
	struct stat st;
	int parent = open_parent("/dev/console", &name);
	int fd = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	else if (errno != EEXIST)
		fail(errno, "make /dev/console");
	int target = exact_node(parent, name);
	if (target < 0 || fstat(target, &st) < 0)
		fail(errno, "open /dev/console");
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		fail(EEXIST, "another kind of file is at /dev/console");
	close(parent);
	return target;
}

static void mount_console(int peer)
{
	int target = open_console();
	int tree = sys_open_tree(peer, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
	if (tree < 0)
		fail(errno, "clone the terminal");
	if (sys_move_mount(tree, target) < 0)
		fail(errno, "mount the terminal at /dev/console");
	close(tree);
	close(target);
}

void step_console(const struct zb_console *s)
{
	int master = open_master();
	int peer = open_peer(master, s);
	if (s->mount)
		mount_console(peer);
	if (ioctl(peer, TIOCSCTTY, 0) < 0)
		fail(errno, "take the terminal");
	for (int fd = 0; fd < 3; fd++)
		if (dup2(peer, fd) < 0)
			fail(errno, "make the terminal the standard streams");
	close(peer);
	send_report(ZB_REPORT_CONSOLE, 0, master);
	close(master);
}

static bool is_private_stream(int fd)
{
	struct stat st;
	struct termios terminal;
	if (fstat(fd, &st) < 0)
		return false;
	return S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ||
	       (S_ISCHR(st.st_mode) && ioctl(fd, TCGETS, &terminal) == 0);
}

static bool is_null(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* Root in the container could change the mode and owner of the host's null device through the descriptor: it gets its
 * own, for reading and writing: containerd's shim hands one over that is open for reading only as the output. What the
 * image has at /dev/null is looked at before it is opened (CVE-2026-88265). */
static void open_own_null(int stream)
{
	char link[32] = "self/fd/";
	int node = resolve("/dev/null", O_PATH | O_NOFOLLOW, 0);
	if (node < 0 || !is_null(node))
		fail(node < 0 ? errno : EINVAL, "open /dev/null of the container, which is to be a standard stream");
	strcat(link, decimal((uint64_t)node));
	int fd = openat(stage.proc_fd, link, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || dup2(fd, stream) < 0)
		fail(errno, "open /dev/null of the container");
	close(fd);
	close(node);
}

/* Regular files and devices belong to somebody else (CVE-2026-88265). */
void step_own_stdio(const struct zb_own_stdio *s)
{
	for (int fd = 0; fd < 3; fd++) {
		if (is_null(fd))
			open_own_null(fd);
		else if (is_private_stream(fd) && fchown(fd, s->uid, (gid_t)-1) < 0 && errno != EPERM &&
			 errno != EROFS && errno != EINVAL)
			fail(errno, "set the owner of standard stream ", decimal((uint64_t)fd));
	}
}
