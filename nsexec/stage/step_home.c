/* The home directory of the user, for a process that is not told it. */
#include "stage.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char name[] = "HOME=";
enum { NAME = sizeof(name) - 1 };
static char entry[NAME + PATH_SIZE]; /* of the environment, "" without a home directory */

/* A line of passwd(5), name:password:UID:GID:comment:directory:shell, as far as it was read. */
enum { FIELD_UID = 2, FIELD_DIRECTORY = 5 };
struct line {
	unsigned field;
	uint64_t uid;
	unsigned digits; /* of the uid */
	bool bad;        /* the uid is no number, or the directory too long */
	size_t length;   /* of the directory, which is in entry already */
};

static void take(struct line *l, char c)
{
	if (c == ':') {
		l->field++;
	} else if (l->field == FIELD_UID) {
		l->bad |= c < '0' || c > '9' || ++l->digits > 10;
		l->uid = l->uid * 10 + (uint64_t)(c - '0');
	} else if (l->field == FIELD_DIRECTORY) {
		if (NAME + l->length + 1 < sizeof(entry))
			entry[NAME + l->length++] = c;
		else
			l->bad = true;
	}
}

static bool is_of(const struct line *l, uint32_t uid)
{
	return l->field >= FIELD_DIRECTORY && !l->bad && l->digits > 0 && l->uid == uid;
}

/* Reads up to the end of the first line of the user, which counts, or of the file. */
static bool read_line_of(int fd, uint32_t uid, struct line *l)
{
	static char buffer[4096];
	const size_t most = 16u << 20; /* bytes, of a file that may be anything */
	ssize_t n;
	for (size_t done = 0; done < most && (n = read(fd, buffer, sizeof(buffer))) > 0; done += (size_t)n)
		for (ssize_t i = 0; i < n; i++) {
			if (buffer[i] != '\n') {
				take(l, buffer[i]);
				continue;
			}
			if (is_of(l, uid))
				return true;
			*l = (struct line){0};
		}
	return is_of(l, uid);
}

void find_home(int fd, uint32_t uid)
{
	struct line l = {0};
	if (!read_line_of(fd, uid, &l) || l.length == 0)
		return;
	memcpy(entry, name, NAME);
	entry[NAME + l.length] = '\0';
}

/* Without a file that can be read and has the user, the environment of the plan stays. */
void step_home(const struct zb_home *s)
{
	struct stat st;
	int fd = sys_openat2(AT_FDCWD, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, RESOLVE_NO_MAGICLINKS);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		find_home(fd, s->uid);
	close(fd);
}

void set_home(char **env)
{
	for (; entry[0] && *env; env++)
		if (strncmp(*env, name, NAME) == 0)
			*env = entry;
}
