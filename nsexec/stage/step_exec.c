/* The end of the stage: from the working directory to the user's process. */
#include "stage.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char found[PATH_SIZE]; /* by find, for exec */

static int open_directory_at(const char *path)
{
	/* /proc/self/fd/N would leave the container through a descriptor (CVE-2024-21626) */
	int fd = sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, RESOLVE_NO_MAGICLINKS);
	if (fd < 0 && errno == ELOOP && sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, 0) >= 0)
		fail(ELOOP, "change to ", path,
			": current working directory is outside of container mount namespace root");
	return fd;
}

/* Only what is missing is made; anything else is for chdir to find out, as the user. */
void step_mkdir(const struct zb_mkdir *s)
{
	const char *path = text(s->path);
	need_root();
	int fd = resolve(path, O_PATH | O_DIRECTORY, RESOLVE_NO_MAGICLINKS);
	if (fd < 0 && errno == ENOENT)
		fd = open_target(path, TARGET_DIR, 0);
	if (fd >= 0)
		close(fd);
}

void step_chdir(const struct zb_chdir *s)
{
	static char now[PATH_SIZE];
	const char *path = text(s->path);
	int fd = open_directory_at(path);
	if (fd < 0 || fchdir(fd) < 0)
		fail(errno, "change to ", path);
	close(fd);
	if (sys_getcwd(now, sizeof(now)) < 0)
		fail(errno, "find out the working directory");
	if (now[0] != '/')
		fail(ENOENT, "change to ", path,
			": current working directory is outside of container mount namespace root");
}

/* An error, or 0 for an executable file. */
static int try_program(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EACCES;
	return sys_access_exec(path) < 0 ? errno : 0;
}

static bool join(const char *dir, size_t length, const char *name)
{
	size_t n = strlen(name);
	if (length == 0) { /* an empty element is the working directory */
		dir = ".";
		length = 1;
	}
	if (length + 1 + n + 1 > sizeof(found))
		return false;
	memcpy(found, dir, length);
	found[length] = '/';
	memcpy(found + length + 1, name, n + 1);
	return true;
}

static void search(const char *name, const char *path)
{
	static char refused[PATH_SIZE]; /* the first that is there and cannot be executed */
	int error = ENOENT;
	for (const char *dir = path; *path;) {
		size_t length = strcspn(dir, ":");
		int e = join(dir, length, name) ? try_program(found) : ENAMETOOLONG;
		if (e == 0)
			return;
		if (e != ENOENT && e != ENOTDIR && e != ENAMETOOLONG && error == ENOENT) {
			error = e;
			memcpy(refused, found, sizeof(found));
		}
		if (!dir[length])
			break;
		dir += length + 1;
	}
	if (error == ENOENT)
		fail(ENOENT, "executable file not found in $PATH: \"", name, "\"");
	fail(error, why_exec(error, refused));
}

static void find_program(const char *name, const char *path)
{
	if (!*name)
		fail(ENOENT, "no program");
	if (!strchr(name, '/')) {
		search(name, path);
		return;
	}
	if (strlen(name) >= sizeof(found))
		fail(ENAMETOOLONG, "\"", name, "\"");
	int error = try_program(name);
	if (error)
		fail(error, why_exec(error, name));
	memcpy(found, name, strlen(name) + 1);
}

/* The effective capabilities that the program is executed with. */
static uint64_t capabilities_at_exec(uint64_t now)
{
	for (const struct zb_step *step = next_step(NULL); step; step = next_step(step))
		if (step->op == ZB_OP_CAPSET)
			return now & ((const struct zb_capset *)(const void *)step)->effective;
	return now;
}

void step_find(const struct zb_find *s)
{
	uint64_t effective, permitted, inheritable;
	if (sys_capget(&effective, &permitted, &inheritable) < 0)
		fail(errno, "look at the capabilities");
	uint64_t later = capabilities_at_exec(effective);
	if (later != effective && sys_capset(later, permitted, inheritable) < 0)
		fail(errno, "set capabilities");
	find_program(text(s->program), text(s->path));
	if (later != effective && sys_capset(effective, permitted, inheritable) < 0)
		fail(errno, "set capabilities");
}

/* Only who made the socket, root and the container's own user may start it. */
static bool may_start(int listening, int connection)
{
	struct ucred maker, peer;
	socklen_t maker_size = sizeof(maker), peer_size = sizeof(peer);
	if (getsockopt(listening, SOL_SOCKET, SO_PEERCRED, &maker, &maker_size) < 0 ||
		getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) < 0)
		return false;
	return peer.uid == 0 || peer.uid == maker.uid || peer.uid == geteuid();
}

static bool says_go(int connection)
{
	struct zb_ack ack;
	ssize_t n;
	do {
		n = recv(connection, &ack, sizeof(ack), 0);
	} while (n < 0 && errno == EINTR);
	return n == sizeof(ack) && ack.kind == ZB_ACK_GO;
}

void step_wait_start(const struct zb_wait_start *s)
{
	int listening = plan_fd(s->fd);
	send_report(ZB_REPORT_CREATED, 0, -1);
	close(stage.report_fd);
	stage.report_fd = -1;
	while (stage.report_fd < 0) {
		int connection = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		if (connection < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			_exit(1); /* nobody is there to be told */
		}
		if (may_start(listening, connection) && says_go(connection))
			stage.report_fd = connection;
		else
			close(connection);
	}
	close(listening);
}

/* The descriptor that a step needs once the others are closed, or -1. */
static int descriptor_of(const struct zb_step *step)
{
	const void *s = step;
	if (step->op == ZB_OP_PROC_WRITE)
		return stage.proc_fd;
	if (step->op == ZB_OP_WAIT_START)
		return plan_fd(((const struct zb_wait_start *)s)->fd);
	if (step->op == ZB_OP_HOOK)
		return plan_fd(((const struct zb_hook *)s)->fd);
	return -1;
}

/* The lowest descriptor from first on that the stage or a step behind this one still uses, or -1. */
static int next_needed(unsigned first, const struct zb_step *step)
{
	int lowest = stage.report_fd >= (int)first ? stage.report_fd : -1;
	while ((step = next_step(step))) {
		int fd = descriptor_of(step);
		if (fd >= (int)first && (lowest < 0 || fd < lowest))
			lowest = fd;
	}
	return lowest;
}

static char **exec_args, **exec_env;

/* What the user's process gets is settled before a seccomp filter can forbid the calls; behind this, exec is one call.
 */
static void leave_stage(const struct zb_exec *s)
{
	umask(stage.umask);
	if (sys_close_range(3 + stage.keep, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		fail(errno, "set close-on-exec");
	exec_args = vector(s->args, found);
	exec_env = vector(s->env, NULL);
	set_home(exec_env);
}

void step_close_fds(const struct zb_close_fds *s)
{
	unsigned first = 3 + s->keep;
	int fd;
	pass_gate(); /* closed unread, it would let reports of init overtake the one that makes it known */
	stage.keep = s->keep;
	stage.root_fd = -1; /* need_root opens it again */
	forget_mounts();
	while ((fd = next_needed(first, &s->step)) >= 0) {
		if ((unsigned)fd > first && sys_close_range(first, (unsigned)fd - 1, 0) < 0)
			fail(errno, "close descriptors");
		first = (unsigned)fd + 1;
	}
	if (sys_close_range(first, ~0u, 0) < 0)
		fail(errno, "close descriptors");
	for (const struct zb_step *step = next_step(&s->step); step; step = next_step(step))
		if (step->op == ZB_OP_EXEC)
			leave_stage((const void *)step);
}

/* Without a find step (plans made by hand): PATH comes from the new environment, as with execvpe(3). */
static void find_late(const struct zb_exec *s)
{
	const char *path = "/bin:/usr/bin";
	for (uint32_t i = 0; i < s->env.length; i++)
		if (strncmp(list_text(s->env, i), "PATH=", 5) == 0)
			path = list_text(s->env, i) + 5;
	find_program(s->args.length ? list_text(s->args, 0) : "", path);
}

_Noreturn void step_exec(const struct zb_exec *s)
{
	if (!*found)
		find_late(s);
	if (!exec_args)
		leave_stage(s);
	execve(found, exec_args, exec_env);
	int error = errno;
	fail(error, why_exec(error, found));
}
