/* The one switch: every step of a plan has its case. */
#include "stage.h"
#include <errno.h>

/* The record of the step, behind its generic head; check_plan has verified that it has this size. */
#define AS(type) ((const struct type *)(const void *)step)

static void run_step(const struct zb_step *step)
{
	switch ((enum zb_op)step->op) {
	case ZB_OP_OPEN_PROC:
		step_open_proc();
		break;
	case ZB_OP_PROC_WRITE:
		step_proc_write(AS(zb_proc_write));
		break;
	case ZB_OP_SETNS:
		step_setns(AS(zb_setns));
		break;
	case ZB_OP_UNSHARE:
		step_unshare(AS(zb_unshare));
		break;
	case ZB_OP_CLONE:
		step_clone(AS(zb_clone));
		break;
	case ZB_OP_SYNC:
		step_sync();
		break;
	case ZB_OP_BECOME:
		step_become(AS(zb_become));
		break;
	case ZB_OP_SETSID:
		step_setsid();
		break;
	case ZB_OP_PARENT_DEATH:
		step_parent_death(AS(zb_parent_death));
		break;
	case ZB_OP_PROPAGATION:
		step_propagation(AS(zb_propagation));
		break;
	case ZB_OP_ROOT:
		step_root(AS(zb_root));
		break;
	case ZB_OP_MOUNT:
		step_mount(AS(zb_mount));
		break;
	case ZB_OP_BIND:
		step_bind(AS(zb_bind));
		break;
	case ZB_OP_REMOUNT:
		step_remount(AS(zb_remount));
		break;
	case ZB_OP_DEVICE:
		step_device(AS(zb_device));
		break;
	case ZB_OP_SYMLINK:
		step_symlink(AS(zb_symlink));
		break;
	case ZB_OP_CONSOLE:
		step_console(AS(zb_console));
		break;
	case ZB_OP_MASK:
		step_mask(AS(zb_mask));
		break;
	case ZB_OP_READ_ONLY:
		step_read_only(AS(zb_read_only));
		break;
	case ZB_OP_PIVOT_ROOT:
		step_pivot_root();
		break;
	case ZB_OP_MOVE_ROOT:
		step_move_root();
		break;
	case ZB_OP_CHROOT:
		step_chroot(AS(zb_chroot));
		break;
	case ZB_OP_ROOT_ATTR:
		step_root_attr(AS(zb_root_attr));
		break;
	case ZB_OP_HOSTNAME:
		step_hostname(AS(zb_hostname));
		break;
	case ZB_OP_DOMAINNAME:
		step_domainname(AS(zb_domainname));
		break;
	case ZB_OP_LOOPBACK:
		step_loopback();
		break;
	case ZB_OP_KEYRING:
		step_keyring(AS(zb_keyring));
		break;
	case ZB_OP_RLIMIT:
		step_rlimit(AS(zb_rlimit));
		break;
	case ZB_OP_MKDIR:
		step_mkdir(AS(zb_mkdir));
		break;
	case ZB_OP_CHDIR:
		step_chdir(AS(zb_chdir));
		break;
	case ZB_OP_UMASK:
		step_umask(AS(zb_umask));
		break;
	case ZB_OP_SCHEDULER:
		step_scheduler(AS(zb_scheduler));
		break;
	case ZB_OP_IO_PRIORITY:
		step_io_priority(AS(zb_io_priority));
		break;
	case ZB_OP_MEMORY_POLICY:
		step_memory_policy(AS(zb_memory_policy));
		break;
	case ZB_OP_AFFINITY:
		step_affinity(AS(zb_affinity));
		break;
	case ZB_OP_PERSONALITY:
		step_personality(AS(zb_personality));
		break;
	case ZB_OP_NO_NEW_PRIVS:
		step_no_new_privs();
		break;
	case ZB_OP_BOUNDING:
		step_bounding(AS(zb_bounding));
		break;
	case ZB_OP_USER:
		step_user(AS(zb_user));
		break;
	case ZB_OP_CAPSET:
		step_capset(AS(zb_capset));
		break;
	case ZB_OP_AMBIENT:
		step_ambient(AS(zb_ambient));
		break;
	case ZB_OP_SECCOMP:
		step_seccomp(AS(zb_seccomp));
		break;
	case ZB_OP_HOOK:
		step_hook(AS(zb_hook));
		break;
	case ZB_OP_OWN_STDIO:
		step_own_stdio(AS(zb_own_stdio));
		break;
	case ZB_OP_FIND:
		step_find(AS(zb_find));
		break;
	case ZB_OP_HOME:
		step_home(AS(zb_home));
		break;
	case ZB_OP_WAIT_START:
		step_wait_start(AS(zb_wait_start));
		break;
	case ZB_OP_CLOSE_FDS:
		step_close_fds(AS(zb_close_fds));
		break;
	case ZB_OP_EXEC:
		step_exec(AS(zb_exec));
	}
}

_Noreturn void run_plan(void)
{
	for (const struct zb_step *step = next_step(NULL); step; step = next_step(step)) {
		stage.step = step->number;
		run_step(step);
	}
	fail(EINVAL, "plan ends without exec");
}
