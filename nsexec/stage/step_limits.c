/* What a process may use and how it is scheduled. */
#include "stage.h"
#include <errno.h>

void step_rlimit(const struct zb_rlimit *s)
{
	if (sys_rlimit(s->resource, s->soft, s->hard) < 0)
		fail(errno, "set resource limit ", decimal(s->resource));
}

/* Takes effect when the descriptors are closed: until then the modes of what the stage creates are exact. */
void step_umask(const struct zb_umask *s)
{
	stage.umask = s->mask & 0777;
}

void step_scheduler(const struct zb_scheduler *s)
{
	struct linux_sched_attr attr = {
		.size = sizeof(attr),
		.policy = s->policy,
		.flags = s->flags,
		.nice = s->nice,
		.priority = s->priority,
		.runtime = s->runtime,
		.deadline = s->deadline,
		.period = s->period,
	};
	if (sys_sched_setattr(&attr) < 0)
		fail(errno, "set the scheduler");
}

void step_io_priority(const struct zb_io_priority *s)
{
	if (sys_ioprio_set(s->value) < 0)
		fail(errno, "set the I/O priority");
}

void step_memory_policy(const struct zb_memory_policy *s)
{
	/* the kernel counts one bit less than it is told */
	size_t bits = s->nodes.length ? (size_t)s->nodes.length * 8 + 1 : 0;
	if (sys_set_mempolicy(s->mode, bytes_of(s->nodes), bits) < 0)
		fail(errno, "set the memory policy");
}

void step_affinity(const struct zb_affinity *s)
{
	if (sys_sched_setaffinity(s->mask.length, bytes_of(s->mask)) < 0)
		fail(errno, "set the CPU affinity");
}

void step_personality(const struct zb_personality *s)
{
	if (sys_personality(s->domain) < 0)
		fail(errno, "set the personality");
}
