/* The stage: runs the stage steps of a plan and ends by becoming the user's process. docs/architecture.md tells what
 * happens around it. */
#ifndef ZB_STAGE_H
#define ZB_STAGE_H

#include "plan_abi.h"
#include "syscalls.h"
#include <stdbool.h>
#include <sys/stat.h>

#define PATH_SIZE 4096

/* What one step leaves for later ones. There is one process and one thread, so there is one of it. */
struct stage {
	const unsigned char *plan;     /* the checked plan */
	const unsigned char *plan_end; /* end of its steps */
	int base;                      /* descriptor of the report socket at start; behind it the plan's descriptors */
	int report_fd;                 /* where reports go now; -1 while nobody listens */
	int gate_fd;                   /* readable once the outer process has reported and exited; -1: passed */
	int proc_fd;                   /* of open_proc, or -1 */
	int root_fd;                   /* O_PATH of the container's root, or -1 before the root step */
	int null_fd;                   /* tree of the host's /dev/null, for masks; -1 before the root step */
	int empty_fd;                  /* tree of the empty directory, for masks; -1 before the first */
	uint32_t step;                 /* number in the plan of the step that runs */
	uint32_t keep;                 /* descriptors from 3 on that the user's process keeps */
	uint32_t death_signal;         /* of parent_death; 0: none */
	uint64_t propagation;          /* of the propagation step; 0: none */
	mode_t umask;                  /* of the user's process; the stage's own is 0 */
	bool made_target;              /* the last target did not exist */
	bool hooked;                   /* a hook was run: it may have mounted something on the root */
	bool joined;                   /* a setns step was run: foreign processes may see this one */
};
extern struct stage stage;

/* decode.c */
const char *check_plan(const void *bytes, size_t size);
void use_plan(const void *bytes); /* after check_plan */
const struct zb_step *next_step(const struct zb_step *step);
const char *text(struct zb_ref ref);
const char *list_text(struct zb_ref list, uint32_t index);
const void *bytes_of(struct zb_ref ref);
char **vector(struct zb_ref list, const char *first_if_empty); /* NULL-terminated, for execve */
int plan_fd(int32_t number);                                   /* the descriptor of a plan.FD, or -1 */

/* report.c */
void send_report(enum zb_report_kind kind, int32_t value, int fd);
void warn(int error, const char *what, const char *name);
void pass_gate(void); /* waits until the outer process has reported init and is gone */
void wait_go(void);
_Noreturn void fail_pieces(int error, const char *const *pieces);
/* The one way to die: reports the step that runs, the error and the joined strings, and exits. */
#define fail(error, ...) fail_pieces(error, (const char *const[]){__VA_ARGS__, NULL})
const char *decimal(uint64_t n);

/* resolve.c: paths below the container's root, each resolved once. The descriptors are O_PATH and O_CLOEXEC. */
enum target_kind { TARGET_DIR, TARGET_FILE };
enum { TARGET_NOFOLLOW = 1, TARGET_NO_SYMLINKS = 2 };
int need_root(void);
int resolve(const char *path, int flags, uint64_t resolve_flags); /* -1 and errno */
int open_target(const char *path, enum target_kind kind, unsigned flags);
int open_parent(const char *path, const char **last);
void keep_root(int fd);
void keep_mount(int fd, const char *path);
void cover_mount(int target);
void forget_mounts(void);

/* run.c */
_Noreturn void run_plan(void);

/* step_ns.c */
void step_open_proc(void);
void step_proc_write(const struct zb_proc_write *s);
void step_setns(const struct zb_setns *s);
void step_unshare(const struct zb_unshare *s);
void step_clone(const struct zb_clone *s);
void step_sync(void);
void step_setsid(void);
void step_parent_death(const struct zb_parent_death *s);
void renew_parent_death(void);
void step_hostname(const struct zb_hostname *s);
void step_domainname(const struct zb_domainname *s);
void step_loopback(void);

/* step_root.c */
void step_propagation(const struct zb_propagation *s);
void step_root(const struct zb_root *s);
void step_pivot_root(void);
void step_move_root(void);
void step_chroot(const struct zb_chroot *s);
void step_root_attr(const struct zb_root_attr *s);

/* step_mount.c */
void step_mount(const struct zb_mount *s);
void step_bind(const struct zb_bind *s);
void step_remount(const struct zb_remount *s);
void set_propagation(int mount, uint64_t propagation, const char *where);
int new_filesystem(const char *type, const char *source, struct zb_ref options, uint64_t attributes);

/* copy_up.c */
void copy_up(int from, int to, const char *where);

/* step_fs.c */
void step_device(const struct zb_device *s);
void step_symlink(const struct zb_symlink *s);
void step_mask(const struct zb_mask *s);
void step_read_only(const struct zb_read_only *s);
void keep_null(void);
int exact_node(int parent, const char *name); /* O_PATH without following, -1 and errno */

/* step_console.c */
void step_console(const struct zb_console *s);
void step_own_stdio(const struct zb_own_stdio *s);

/* step_cred.c */
void step_become(const struct zb_become *s);
void step_user(const struct zb_user *s);
void step_bounding(const struct zb_bounding *s);
void step_capset(const struct zb_capset *s);
void step_ambient(const struct zb_ambient *s);
void step_no_new_privs(void);
void step_keyring(const struct zb_keyring *s);

/* step_limits.c */
void step_rlimit(const struct zb_rlimit *s);
void step_umask(const struct zb_umask *s);
void step_scheduler(const struct zb_scheduler *s);
void step_io_priority(const struct zb_io_priority *s);
void step_memory_policy(const struct zb_memory_policy *s);
void step_affinity(const struct zb_affinity *s);
void step_personality(const struct zb_personality *s);

/* step_seccomp.c */
void step_seccomp(const struct zb_seccomp *s);

/* step_hook.c */
void step_hook(const struct zb_hook *s);

/* step_home.c */
void step_home(const struct zb_home *s);
void find_home(int fd, uint32_t uid);
void set_home(char **env); /* replaces HOME, if find_home knows better */

/* step_exec.c */
void step_mkdir(const struct zb_mkdir *s);
void step_chdir(const struct zb_chdir *s);
void step_find(const struct zb_find *s);
void step_wait_start(const struct zb_wait_start *s);
void step_close_fds(const struct zb_close_fds *s);
_Noreturn void step_exec(const struct zb_exec *s);

/* init.c */
_Noreturn void run_init(char **argv);

/* layers.c */
_Noreturn void run_layers(char **argv);

/* why_exec.c */
const char *why_exec(int error, const char *path);

#endif
