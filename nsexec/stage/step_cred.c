/* Users and capabilities. */
#include "stage.h"
#include <errno.h>
#include <sys/prctl.h>
#include <unistd.h>

void step_become(const struct zb_become *s)
{
	if (s->setgroups && sys_setgroups(0, NULL) < 0)
		fail(errno, "clear the supplementary groups");
	if (sys_setresgid(s->gid) < 0)
		fail(errno, "become group ", decimal(s->gid));
	if (sys_setresuid(s->uid) < 0)
		fail(errno, "become user ", decimal(s->uid));
	renew_parent_death();
}

void step_user(const struct zb_user *s)
{
	uint64_t effective, permitted, inheritable;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		fail(errno, "keep capabilities");
	if (!s->keep_groups && sys_setgroups(s->groups.length, bytes_of(s->groups)) < 0)
		fail(errno, "set the supplementary groups");
	if (sys_setresgid(s->gid) < 0)
		fail(errno, "set group ", decimal(s->gid),
			errno == EINVAL ? ", which linux.gidMappings does not map" : "");
	if (sys_setresuid(s->uid) < 0)
		fail(errno, "set user ", decimal(s->uid),
			errno == EINVAL ? ", which linux.uidMappings does not map" : "");
	/* the effective set went with uid 0; the steps behind still need it */
	if (sys_capget(&effective, &permitted, &inheritable) < 0 || sys_capset(permitted, permitted, inheritable) < 0)
		fail(errno, "regain capabilities");
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		fail(errno, "keep capabilities");
	renew_parent_death();
}

void step_bounding(const struct zb_bounding *s)
{
	for (unsigned long cap = 0; cap < 64; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (has < 0)
			break; /* behind the last that this kernel knows */
		if (has == 1 && !(s->keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			fail(errno, "drop capability ", decimal(cap), " from the bounding set");
	}
}

void step_capset(const struct zb_capset *s)
{
	if (sys_capset(s->effective, s->permitted, s->inheritable) < 0)
		fail(errno, "set capabilities");
	renew_parent_death();
}

void step_ambient(const struct zb_ambient *s)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		fail(errno, "clear the ambient capabilities");
	for (unsigned long cap = 0; cap < 64; cap++)
		if ((s->caps >> cap & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			fail(errno, "raise ambient capability ", decimal(cap));
}

void step_no_new_privs(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail(errno, "set no_new_privs");
}

void step_keyring(const struct zb_keyring *s)
{
	if (sys_join_session_keyring(text(s->value)) < 0 && errno != ENOSYS)
		fail(errno, "join session keyring ", text(s->value));
}
