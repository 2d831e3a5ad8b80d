/* Before Go begins: the commands start and delete, or a part of them, are done here. musl hands constructors no
 * arguments, so that they are read, once, from the kernel. */
#include "arguments.h"
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* Reads the arguments of this process. Without any (count 0) when there are more than fit, or no /proc. */
static void read_arguments(struct arguments *a)
{
	const int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t n = 0;

	a->count = 0;
	if (fd < 0)
		return;
	while (length < sizeof a->text && (n = read(fd, a->text + length, sizeof a->text - length)) > 0)
		length += (size_t)n;
	close(fd);
	if (n != 0 || length == 0 || a->text[length - 1] != '\0')
		return;
	for (size_t i = 0; i < length; i++) {
		if (i > 0 && a->text[i - 1] != '\0')
			continue;
		if (a->count == sizeof a->of / sizeof *a->of) {
			a->count = 0;
			return;
		}
		a->of[a->count++] = a->text + i;
	}
}

__attribute__((constructor)) static void before_go(void)
{
	struct arguments a;

	read_arguments(&a);
	if (a.count < 2)
		return;
	if (strcmp(a.of[a.count - 1], "start") == 0)
		leave_server();
	else if (strcmp(a.of[a.count - 1], "delete") == 0)
		answer_when_cleaned(&a);
}
