/* System calls that the C library lacks. Each returns what the kernel does, with -1 and errno on failure. They are
 * functions of a file of their own so that the tests can replace them at link time (-Wl,--wrap). */
#ifndef ZB_SYSCALLS_H
#define ZB_SYSCALLS_H

#include "linux_abi.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

_Noreturn void sys_exit(int code); /* dies even where a seccomp filter refuses: _exit would try for ever */
int sys_openat2(int dir, const char *path, int flags, mode_t mode, uint64_t resolve);
int sys_open_tree(int dir, const char *path, unsigned flags);
int sys_move_mount(int from, int to);
int sys_fsopen(const char *type);
int sys_fspick(int mount);
int sys_fsconfig(int context, enum linux_fsconfig command, const char *key, const char *value);
int sys_fsmount(int context, uint64_t attributes);
int sys_mount_setattr(int mount, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation);
int sys_mount_propagation(const char *path, uint64_t propagation);
int sys_pivot_root(const char *new_root, const char *put_old);
int sys_umount2(const char *path, int flags);
int sys_clone3(struct linux_clone_args *args);
int sys_close_range(unsigned first, unsigned last, unsigned flags);
int sys_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable);
int sys_capget(uint64_t *effective, uint64_t *permitted, uint64_t *inheritable);
int sys_setresuid(uint32_t uid);
int sys_setresgid(uint32_t gid);
int sys_setgroups(size_t count, const uint32_t *groups);
int sys_seccomp(unsigned operation, uint64_t flags, const struct linux_sock_fprog *filter);
int sys_join_session_keyring(const char *name);
int sys_sched_setattr(const struct linux_sched_attr *attr);
int sys_sched_setaffinity(size_t size, const void *mask);
int sys_ioprio_set(uint32_t value);
int sys_set_mempolicy(uint32_t mode, const void *nodes, size_t bits);
int sys_personality(uint64_t domain);
int sys_rlimit(uint32_t resource, uint64_t soft, uint64_t hard);
int sys_getcwd(char *path, size_t size);
int sys_access_exec(const char *path);
int sys_pidfd_kill(int pidfd);
int sys_execveat(int fd, char *const *args, char *const *env);
int sys_mount_id(int fd, uint64_t *id);
ssize_t sys_getdents(int dir, void *buffer, size_t size);

#endif
