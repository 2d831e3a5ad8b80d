/* Replacements for the calls that need privileges. */
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

char call_log[8192];
int fake_tree = -1;
mode_t fake_mode;
dev_t fake_device;
uint64_t fake_effective;

static struct {
	char call[64];
	int error;
} wrong[8];
static int kernel_log = -1;

void fake_error(const char *call, int error)
{
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (!wrong[i].error) {
			snprintf(wrong[i].call, sizeof(wrong[i].call), "%s", call);
			wrong[i].error = error;
			return;
		}
	CHECK(false);
}

/* The next filesystem context answers a read with this. */
void fake_kernel_log(const char *message)
{
	int pair[2];
	CHECK(pipe(pair) == 0 && write(pair[1], message, strlen(message)) > 0);
	close(pair[1]);
	kernel_log = pair[0];
}

static int called(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int called(const char *format, ...)
{
	size_t at = strlen(call_log);
	va_list args;
	va_start(args, format);
	vsnprintf(call_log + at, sizeof(call_log) - at - 1, format, args);
	va_end(args);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (wrong[i].error && strncmp(call_log + at, wrong[i].call, strlen(wrong[i].call)) == 0) {
			strcat(call_log, " fails\n");
			errno = wrong[i].error;
			return -1;
		}
	strcat(call_log, "\n");
	return 0;
}

static int a_tree(int result)
{
	return result < 0 ? -1 : fcntl(fake_tree, F_DUPFD_CLOEXEC, 0);
}

static const char *name_of(int fd)
{
	static char out[2][4096];
	static int turn;
	turn = !turn;
	struct stat a, b;
	if (fstat(fd, &a) == 0 && fstat(fake_tree, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev)
		return "tree";
	snprintf(out[turn], sizeof(out[turn]), "%s", path_in_root(fd));
	return out[turn];
}

#define FAKE(type, name, ...)                                                                                          \
	type __wrap_##name(__VA_ARGS__);                                                                               \
	type __wrap_##name(__VA_ARGS__)

FAKE(int, sys_open_tree, int dir, const char *path, unsigned flags)
{
	bool empty = !*path;
	return a_tree(called("open_tree %s%s%s%s", empty ? name_of(dir) : path, flags & OPEN_TREE_CLONE ? " clone" : "",
		flags & AT_RECURSIVE ? " recursive" : "", flags & AT_SYMLINK_NOFOLLOW ? " nofollow" : ""));
}
FAKE(int, sys_move_mount, int from, int to)
{
	return called("move_mount %s to %s", name_of(from), name_of(to));
}
FAKE(int, sys_fsopen, const char *type)
{
	if (called("fsopen %s", type) < 0)
		return -1;
	if (kernel_log >= 0)
		return kernel_log;
	return fcntl(fake_tree, F_DUPFD_CLOEXEC, 0);
}
FAKE(int, sys_fspick, int mount)
{
	return a_tree(called("fspick %s", name_of(mount)));
}
FAKE(int, sys_fsconfig, int context, enum linux_fsconfig command, const char *key, const char *value)
{
	(void)context;
	return called("fsconfig %d %s%s%s", (int)command, key ? key : "-", value ? "=" : "", value ? value : "");
}
FAKE(int, sys_fsmount, int context, uint64_t attributes)
{
	(void)context;
	return a_tree(called("fsmount 0x%llx", (unsigned long long)attributes));
}
FAKE(int, sys_mount_setattr, int mount, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation)
{
	return called("mount_setattr %s%s set 0x%llx clear 0x%llx propagation 0x%llx", name_of(mount),
		flags & AT_RECURSIVE ? " recursive" : "", (unsigned long long)set, (unsigned long long)clear,
		(unsigned long long)propagation);
}
FAKE(int, sys_pivot_root, const char *a, const char *b)
{
	return called("pivot_root %s %s", a, b);
}
/* A second "." is not mounted any more. */
FAKE(int, sys_umount2, const char *path, int flags)
{
	char line[64];
	snprintf(line, sizeof(line), "umount %s %d", path, flags);
	if (strcmp(path, ".") == 0 && strstr(call_log, line)) {
		errno = EINVAL;
		return -1;
	}
	return called("umount %s %d", path, flags);
}
FAKE(int, sys_setresuid, uint32_t uid)
{
	return called("setresuid %u", uid);
}
FAKE(int, sys_setresgid, uint32_t gid)
{
	return called("setresgid %u", gid);
}
FAKE(int, sys_setgroups, size_t count, const uint32_t *groups)
{
	return called("setgroups %zu first %u", count, count ? groups[0] : 0);
}
FAKE(int, sys_capget, uint64_t *effective, uint64_t *permitted, uint64_t *inheritable)
{
	*effective = fake_effective;
	*permitted = 0xff;
	*inheritable = 0;
	return called("capget");
}
FAKE(int, sys_capset, uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	return called("capset %llx %llx %llx", (unsigned long long)effective, (unsigned long long)permitted,
		(unsigned long long)inheritable);
}
FAKE(int, sys_seccomp, unsigned operation, uint64_t flags, const struct linux_sock_fprog *filter)
{
	int result =
		called("seccomp %u flags 0x%llx, %u instructions", operation, (unsigned long long)flags, filter->len);
	return result < 0 ? -1 : flags & SECCOMP_FILTER_FLAG_NEW_LISTENER ? fcntl(fake_tree, F_DUPFD_CLOEXEC, 0) : 0;
}
FAKE(int, sys_join_session_keyring, const char *name)
{
	return called("join_session_keyring %s", name);
}
FAKE(int, sys_set_mempolicy, uint32_t mode, const void *nodes, size_t bits)
{
	return called("set_mempolicy %u %s %zu", mode, nodes ? "nodes" : "-", bits);
}
FAKE(int, sys_rlimit, uint32_t resource, uint64_t soft, uint64_t hard)
{
	return called("rlimit %u %llu %llu", resource, (unsigned long long)soft, (unsigned long long)hard);
}
int __real_sys_close_range(unsigned first, unsigned last, unsigned flags);
FAKE(int, sys_close_range, unsigned first, unsigned last, unsigned flags)
{
	if (flags & CLOSE_RANGE_CLOEXEC)
		return __real_sys_close_range(first, last, flags);
	return called("close_range %u %u flags %u", first, last, flags);
}
FAKE(int, setns, int fd, int types)
{
	return called("setns %d 0x%x", fd, (unsigned)types);
}
FAKE(int, unshare, int types)
{
	return called("unshare 0x%x", (unsigned)types);
}
FAKE(int, mknodat, int dir, const char *name, mode_t mode, dev_t device)
{
	return called("mknod %s/%s 0%o 0x%llx", name_of(dir), name, mode, (unsigned long long)device);
}
FAKE(int, fchownat, int dir, const char *name, uid_t uid, gid_t gid, int flags)
{
	return called("fchownat %s%s%s %u %u 0x%x", name_of(dir), *name ? "/" : "", name, uid, gid, (unsigned)flags);
}
FAKE(int, fchown, int fd, uid_t uid, gid_t gid)
{
	return called("fchown %d %u %d", fd, uid, (int)gid);
}

/* What the fake tree pretends to be. */
int __real_fstat(int fd, struct stat *st);
FAKE(int, fstat, int fd, struct stat *st)
{
	struct stat tree;
	int result = __real_fstat(fd, st);
	if (result == 0 && fake_mode && __real_fstat(fake_tree, &tree) == 0 && st->st_ino == tree.st_ino &&
		st->st_dev == tree.st_dev) {
		st->st_mode = fake_mode;
		st->st_rdev = fake_device;
	}
	return result;
}

FAKE(int, prctl, int option, ...)
{
	unsigned long first;
	va_list args;
	va_start(args, option);
	first = va_arg(args, unsigned long);
	unsigned long second = option == PR_CAP_AMBIENT ? va_arg(args, unsigned long) : 0;
	va_end(args);
	switch (option) {
	case PR_CAPBSET_READ: /* a kernel that knows 10 capabilities, of which 3 is gone */
		errno = EINVAL;
		return first >= 10 ? -1 : first != 3;
	case PR_CAPBSET_DROP:
		return called("drop %lu", first);
	case PR_CAP_AMBIENT:
		return called("ambient %lu %lu", first, second);
	case PR_SET_KEEPCAPS:
		return called("keepcaps %d", (int)first);
	case PR_SET_PDEATHSIG:
		return called("pdeathsig %lu", first);
	case PR_SET_DUMPABLE:
		return called("dumpable %d", (int)first);
	default:
		return called("prctl %d", option);
	}
}
