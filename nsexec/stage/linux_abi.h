/* What the kernel offers and musl 1.2.3 does not declare: the new mount API, openat2, clone3, capabilities. The structs
 * have names of their own, so that the header also compiles beside glibc's. Values: include/uapi/linux of Linux 5.14.
 */
#ifndef ZB_LINUX_ABI_H
#define ZB_LINUX_ABI_H

#include <stdint.h>

#define MS_REC        0x4000u
#define MS_UNBINDABLE (1u << 17)
#define MS_PRIVATE    (1u << 18)
#define MS_SLAVE      (1u << 19)
#define MS_SHARED     (1u << 20)
#define MNT_DETACH    2

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#define OPEN_TREE_CLONE         1u
#define OPEN_TREE_CLOEXEC       02000000u
#define MOVE_MOUNT_F_EMPTY_PATH 0x4u
#define MOVE_MOUNT_T_EMPTY_PATH 0x40u
#define FSOPEN_CLOEXEC          1u
#define FSMOUNT_CLOEXEC         1u
#define FSPICK_CLOEXEC          1u
#define FSPICK_EMPTY_PATH       8u
enum linux_fsconfig {
	FSCONFIG_SET_FLAG = 0,
	FSCONFIG_SET_STRING = 1,
	FSCONFIG_CMD_CREATE = 6,
	FSCONFIG_CMD_RECONFIGURE = 7
};

#define MOUNT_ATTR_RDONLY 0x1u
#define MOUNT_ATTR_NOSUID 0x2u
#define MOUNT_ATTR_NODEV  0x4u
#define MOUNT_ATTR_NOEXEC 0x8u
#define MOUNT_ATTR_ATIME  0x70u

struct linux_mount_attr {
	uint64_t attr_set, attr_clr, propagation, userns_fd;
};

#define RESOLVE_NO_XDEV       1u
#define RESOLVE_NO_MAGICLINKS 2u
#define RESOLVE_NO_SYMLINKS   4u
#define RESOLVE_BENEATH       8u
#define RESOLVE_IN_ROOT       16u

struct linux_open_how {
	uint64_t flags, mode, resolve;
};

#define LINUX_STATX_MNT_ID 0x1000u
struct linux_statx {
	uint32_t mask;
	unsigned char before[140];
	uint64_t mount_id;
	unsigned char behind[104];
};

#define LINUX_CLONE_INTO_CGROUP 0x200000000ull
#define LINUX_CLONE_PIDFD       0x1000u
#define LINUX_CLONE_PARENT      0x8000u
#define LINUX_CLONE_NEWUSER     0x10000000u

struct linux_clone_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
		cgroup;
};

#define CLOSE_RANGE_CLOEXEC 4u

#define LINUX_CAPABILITY_VERSION_3 0x20080522u
struct linux_cap_header {
	uint32_t version;
	int32_t pid;
};
struct linux_cap_data {
	uint32_t effective, permitted, inheritable;
};

#define SECCOMP_SET_MODE_FILTER          1u
#define SECCOMP_FILTER_FLAG_NEW_LISTENER 8u
struct linux_sock_fprog {
	unsigned short len;
	const void *filter;
};

struct linux_sched_attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

struct linux_dirent64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

#define KEYCTL_JOIN_SESSION_KEYRING 1
#define IOPRIO_WHO_PROCESS          1
#define TMPFS_MAGIC                 0x01021994
#define PROC_SUPER_MAGIC            0x9fa0
#define DEVPTS_SUPER_MAGIC          0x1cd1
#define PROC_ROOT_INO               1
#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441 /* the same on x86, arm, riscv, s390; see asm-generic/ioctls.h */
#endif

#endif
