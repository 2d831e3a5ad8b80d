#include "stage.h"
#include <errno.h>
#include <unistd.h>

#define FILTER_INSTRUCTION 8 /* sizeof(struct sock_filter) */

void step_seccomp(const struct zb_seccomp *s)
{
	uint32_t count = s->filter.length / FILTER_INSTRUCTION;
	if (count == 0 || s->filter.length % FILTER_INSTRUCTION || count > UINT16_MAX)
		fail(EINVAL, "seccomp filter has a wrong size");
	struct linux_sock_fprog program = {.len = (unsigned short)count, .filter = bytes_of(s->filter)};
	uint64_t flags = s->flags | (s->notify ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
	int listener = sys_seccomp(SECCOMP_SET_MODE_FILTER, flags, &program);
	if (listener < 0)
		fail(errno, "install the seccomp filter");
	if (s->notify) {
		send_report(ZB_REPORT_SECCOMP, 0, listener);
		close(listener);
	}
}
