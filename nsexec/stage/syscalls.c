#include "syscalls.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

_Noreturn void sys_exit(int code)
{
	syscall(SYS_exit_group, code);
	__builtin_trap();
}

int sys_openat2(int dir, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct linux_open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .mode = mode, .resolve = resolve};
	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

int sys_open_tree(int dir, const char *path, unsigned flags)
{
	return (int)syscall(SYS_open_tree, dir, path, flags | OPEN_TREE_CLOEXEC);
}

int sys_move_mount(int from, int to)
{
	return (int)syscall(SYS_move_mount, from, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int sys_mount_id(int fd, uint64_t *id)
{
	struct linux_statx st;
	int rc = (int)syscall(SYS_statx, fd, "", AT_EMPTY_PATH, LINUX_STATX_MNT_ID, &st);
	*id = st.mount_id;
	return rc;
}

int sys_fsopen(const char *type)
{
	return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

int sys_fspick(int mount)
{
	return (int)syscall(SYS_fspick, mount, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
}

int sys_fsconfig(int context, enum linux_fsconfig command, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, context, command, key, value, 0);
}

int sys_fsmount(int context, uint64_t attributes)
{
	return (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
}

int sys_mount_setattr(int mount, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation)
{
	/* the kernel refuses an access time mode that does not clear the old one */
	if (set & MOUNT_ATTR_ATIME)
		clear |= MOUNT_ATTR_ATIME;
	struct linux_mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
	return (int)syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | flags, &attr, sizeof(attr));
}

int sys_mount_propagation(const char *path, uint64_t propagation)
{
	return (int)syscall(SYS_mount, NULL, path, NULL, (unsigned long)propagation, NULL);
}

int sys_pivot_root(const char *new_root, const char *put_old)
{
	return (int)syscall(SYS_pivot_root, new_root, put_old);
}

int sys_umount2(const char *path, int flags)
{
	return (int)syscall(SYS_umount2, path, flags);
}

int sys_clone3(struct linux_clone_args *args)
{
	return (int)syscall(SYS_clone3, args, sizeof(*args));
}

int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	return (int)syscall(SYS_close_range, first, last, flags);
}

int sys_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct linux_cap_header header = {.version = LINUX_CAPABILITY_VERSION_3};
	struct linux_cap_data data[2] = {
		{(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
		{(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
	};
	return (int)syscall(SYS_capset, &header, data);
}

int sys_capget(uint64_t *effective, uint64_t *permitted, uint64_t *inheritable)
{
	struct linux_cap_header header = {.version = LINUX_CAPABILITY_VERSION_3};
	struct linux_cap_data data[2] = {{0}};
	int rc = (int)syscall(SYS_capget, &header, data);
	*effective = data[0].effective | (uint64_t)data[1].effective << 32;
	*permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	*inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	return rc;
}

int sys_setresuid(uint32_t uid)
{
	return (int)syscall(SYS_setresuid, uid, uid, uid);
}

int sys_setresgid(uint32_t gid)
{
	return (int)syscall(SYS_setresgid, gid, gid, gid);
}

int sys_setgroups(size_t count, const uint32_t *groups)
{
	return (int)syscall(SYS_setgroups, count, groups);
}

int sys_seccomp(unsigned operation, uint64_t flags, const struct linux_sock_fprog *filter)
{
	return (int)syscall(SYS_seccomp, operation, flags, filter);
}

int sys_join_session_keyring(const char *name)
{
	return (int)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name, 0, 0, 0);
}

int sys_sched_setattr(const struct linux_sched_attr *attr)
{
	return (int)syscall(SYS_sched_setattr, 0, attr, 0);
}

int sys_sched_setaffinity(size_t size, const void *mask)
{
	return (int)syscall(SYS_sched_setaffinity, 0, size, mask);
}

int sys_ioprio_set(uint32_t value)
{
	return (int)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value);
}

int sys_set_mempolicy(uint32_t mode, const void *nodes, size_t bits)
{
	return (int)syscall(SYS_set_mempolicy, mode, nodes, bits);
}

int sys_personality(uint64_t domain)
{
	return (int)syscall(SYS_personality, domain);
}

int sys_rlimit(uint32_t resource, uint64_t soft, uint64_t hard)
{
	uint64_t limit[2] = {soft, hard};
	return (int)syscall(SYS_prlimit64, 0, resource, limit, NULL);
}

int sys_getcwd(char *path, size_t size)
{
	return (int)syscall(SYS_getcwd, path, size);
}

int sys_access_exec(const char *path)
{
	return (int)syscall(SYS_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS);
}

int sys_pidfd_kill(int pidfd)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

int sys_execveat(int fd, char *const *args, char *const *env)
{
	return (int)syscall(SYS_execveat, fd, "", args, env, AT_EMPTY_PATH);
}

ssize_t sys_getdents(int dir, void *buffer, size_t size)
{
	return syscall(SYS_getdents64, dir, buffer, size);
}
