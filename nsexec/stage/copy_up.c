/* tmpcopyup: fills a new tmpfs with what its target held. */
#include "stage.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MAX_DEPTH 128

/* The kernel's own limits, for all names of a file and for one value (XATTR_LIST_MAX, XATTR_SIZE_MAX). */
static char attribute_names[65536], attribute_value[65536];
static bool attribute_lost;

/* What the new tmpfs cannot hold, or this user not set, is left out with one warning. Labels come with the mount. */
static void copy_attribute(int from, int to, const char *attribute, const char *name, const char *where)
{
	if (strcmp(attribute, "security.selinux") == 0)
		return;
	ssize_t size = fgetxattr(from, attribute, attribute_value, sizeof(attribute_value));
	if (size >= 0 && fsetxattr(to, attribute, attribute_value, (size_t)size, 0) == 0)
		return;
	if (errno == ENODATA)
		return; /* removed meanwhile */
	if (errno != EOPNOTSUPP && errno != EPERM)
		fail(errno, "copy ", attribute, " of ", name, " of ", where);
	if (!attribute_lost)
		warn(errno, "tmpcopyup leaves out an extended attribute, ", attribute);
	attribute_lost = true;
}

/* After the owner and the mode: changing the owner removes security.capability. */
static void copy_attributes(int from, int to, const char *name, const char *where)
{
	ssize_t size = flistxattr(from, attribute_names, sizeof(attribute_names));
	if (size < 0 && errno != EOPNOTSUPP)
		fail(errno, "list the extended attributes of ", name, " of ", where);
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(attribute_names + at) + 1)
		copy_attribute(from, to, attribute_names + at, name, where);
}

static void copy_file(int from, int to, const char *name, const struct stat *st, const char *where)
{
	struct stat now;
	int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (in < 0 || out < 0)
		fail(errno, "copy ", name, " of ", where);
	if (fstat(in, &now) < 0 || now.st_ino != st->st_ino || now.st_dev != st->st_dev)
		fail(EAGAIN, name, " of ", where, " was replaced while it was copied");
	for (;;) {
		ssize_t n = sendfile(out, in, NULL, 1 << 20);
		if (n < 0)
			fail(errno, "copy ", name, " of ", where);
		if (n == 0)
			break;
	}
	if (fchown(out, st->st_uid, st->st_gid) < 0 || fchmod(out, st->st_mode & 07777) < 0)
		fail(errno, "set the owner of ", name, " of ", where);
	copy_attributes(in, out, name, where);
	close(in);
	close(out);
}

static void copy_link(int from, int to, const char *name, const char *where)
{
	static char content[PATH_SIZE];
	ssize_t n = readlinkat(from, name, content, sizeof(content) - 1);
	if (n < 0)
		fail(errno, "read link ", name, " of ", where);
	content[n] = 0;
	if (symlinkat(content, to, name) < 0)
		fail(errno, "copy ", name, " of ", where);
}

static void copy_directory(int from, int to, int depth, const char *where);

static void copy_below(int from, int to, const char *name, const struct stat *st, int depth, const char *where)
{
	int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0 || mkdirat(to, name, 0700) < 0)
		fail(errno, "copy ", name, " of ", where);
	int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out < 0)
		fail(errno, "copy ", name, " of ", where);
	copy_directory(in, out, depth + 1, where);
	if (fchown(out, st->st_uid, st->st_gid) < 0 || fchmod(out, st->st_mode & 07777) < 0)
		fail(errno, "set the owner of ", name, " of ", where);
	copy_attributes(in, out, name, where);
	close(in);
	close(out);
}

static void copy_entry(int from, int to, const char *name, int depth, const char *where)
{
	struct stat st;
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail(errno, "look at ", name, " of ", where);
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		copy_below(from, to, name, &st, depth, where);
		return;
	case S_IFREG:
		copy_file(from, to, name, &st, where);
		return;
	case S_IFLNK:
		copy_link(from, to, name, where);
		break;
	default:
		if (mknodat(to, name, st.st_mode, st.st_rdev) < 0)
			fail(errno, "copy ", name, " of ", where);
		break;
	}
	if (fchownat(to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		fail(errno, "set the owner of ", name, " of ", where);
}

/* Copies what from holds. */
static void copy_directory(int from, int to, int depth, const char *where)
{
	_Alignas(8) char buffer[1024];
	if (depth > MAX_DEPTH)
		fail(ELOOP, "copy ", where, ": directories nested too deep");
	for (;;) {
		ssize_t n = sys_getdents(from, buffer, sizeof(buffer));
		if (n < 0)
			fail(errno, "list ", where);
		if (n == 0)
			break;
		for (ssize_t at = 0; at < n;) {
			const struct linux_dirent64 *entry = (const void *)(buffer + at);
			at += entry->reclen;
			if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0)
				copy_entry(from, to, entry->name, depth, where);
		}
	}
}

void copy_up(int from, int to, const char *where)
{
	struct stat st;
	int in = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (in < 0 || fstat(in, &st) < 0)
		fail(errno, "open ", where);
	copy_directory(in, to, 0, where);
	if (fchownat(to, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) < 0)
		fail(errno, "set the owner of ", where);
	int out = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out < 0)
		fail(errno, "open the copy of ", where);
	attribute_lost = false;
	copy_attributes(in, out, ".", where);
	close(out);
	close(in);
}
