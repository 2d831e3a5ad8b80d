package main

// containerd runs the command delete behind every shim that ends, also behind one that has deleted its container: there is nothing to do
// then, and the start of the Go runtime is most of the work. So that is seen here, before it begins: a bundle in which there is no file of
// options (shim/options.go: written before the container is made, removed behind it) and whose shim has left no socket. Everything else is
// for shim/cleanup.go.

/*
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "arguments.h"

// The flag's value among the arguments, NULL without it.
static const char *value(const struct arguments *a, const char *flag)
{
	for (int i = 1; i + 1 < a->count; i++)
		if (strcmp(a->of[i], flag) == 0)
			return a->of[i + 1];
	return NULL;
}

static int missing(int dir, const char *path)
{
	struct stat st;

	return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

// Whether the socket that the bundle's file of the address names is gone, or was never made.
static int without_socket(int bundle)
{
	static const char scheme[] = "unix://";
	char address[256];
	ssize_t n;
	int fd = openat(bundle, "address", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT;
	n = read(fd, address, sizeof address - 1);
	close(fd);
	if (n < 0)
		return 0;
	address[n] = '\0';
	return strncmp(address, scheme, sizeof scheme - 1) == 0 && missing(AT_FDCWD, address + sizeof scheme - 1);
}

static int nothing_left(const char *path, const char *id)
{
	const char *name = strrchr(path, '/');
	int bundle, nothing;

	if (!name || strcmp(name + 1, id) != 0)
		return 0;
	bundle = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (bundle < 0)
		return 0;
	nothing = missing(bundle, "zbox-options.json") && without_socket(bundle);
	close(bundle);
	return nothing;
}

static unsigned char *varint(unsigned char *to, unsigned long long number)
{
	for (; number >= 0x80; number >>= 7)
		*to++ = (unsigned char)(number | 0x80);
	*to++ = (unsigned char)number;
	return to;
}

// Writes a DeleteResponse with the exit status of SIGKILL, now, as shim/cleanup.go does.
static int answer(void)
{
	enum { EXIT_STATUS = 2 << 3, EXITED_AT = 3 << 3 | 2, SECONDS = 1 << 3 };
	unsigned char seconds[16], message[32], *end = message;
	size_t length;

	seconds[0] = SECONDS;
	length = (size_t)(varint(seconds + 1, (unsigned long long)time(NULL)) - seconds);
	*end++ = EXIT_STATUS;
	end = varint(end, 128 + 9);
	*end++ = EXITED_AT;
	end = varint(end, length);
	memcpy(end, seconds, length);
	end += length;
	return write(STDOUT_FILENO, message, (size_t)(end - message)) == end - message;
}

void answer_when_cleaned(const struct arguments *a)
{
	const char *bundle = value(a, "-bundle"), *id = value(a, "-id");

	if (bundle && id && nothing_left(bundle, id) && answer())
		_exit(0);
}
*/
import "C"
