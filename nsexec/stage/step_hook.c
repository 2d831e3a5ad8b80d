/* Hooks inside the container's namespaces. */
#include "stage.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct hook {
	const struct zb_hook *step;
	int pidfd, input; /* input: write end of its stdin, -1 once all is written */
	int piece;        /* of the state that is being written: head, pid, tail */
	size_t written;   /* of this piece */
	int64_t deadline; /* milliseconds of the monotonic clock; 0: none */
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

_Noreturn static void fail_hook(int error, const struct zb_hook *s, const char *what, const char *detail)
{
	fail(error, text(s->kind), " hook ", text(s->path), " ", what, detail);
}

/* In the hook's process: becomes the program, or tells why not. */
_Noreturn static void exec_hook(const struct zb_hook *s, int input, int status, char **args, char **env)
{
	signal(SIGPIPE, SIG_DFL);
	umask(stage.umask);
	bool here =
		strcmp(text(s->kind), "createContainer") || fchdir(need_root()) == 0; /* in the rootfs, as with runc */
	sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	if (here && dup2(input, 0) == 0) {
		int fd = plan_fd(s->fd);
		if (fd >= 0)
			sys_execveat(fd, args, env);
		/* a script has no name that its interpreter could open after the descriptor is closed */
		if (fd < 0 || errno == ENOENT)
			execve(text(s->path), args, env);
	}
	int error = errno;
	if (write(status, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

static void start_hook(struct hook *h)
{
	const struct zb_hook *s = h->step;
	int input[2], status[2], error;
	char **args = vector(s->args, text(s->path));
	char **env = vector(s->env, NULL);
	if (pipe2(input, O_CLOEXEC) < 0 || pipe2(status, O_CLOEXEC) < 0)
		fail(errno, "make a pipe");
	struct linux_clone_args clone = {
		.flags = LINUX_CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&h->pidfd, .exit_signal = SIGCHLD};
	int pid = sys_clone3(&clone);
	if (pid < 0)
		fail_hook(errno, s, "could not be forked", "");
	if (pid == 0)
		exec_hook(s, input[0], status[1], args, env);
	close(input[0]);
	close(status[1]);
	ssize_t n;
	do {
		n = read(status[0], &error, sizeof(error));
	} while (n < 0 && errno == EINTR);
	close(status[0]);
	if (n == sizeof(error))
		fail_hook(error, s, "could not be executed", "");
	h->input = input[1];
	if (fcntl(h->input, F_SETFL, O_NONBLOCK) < 0)
		fail_hook(errno, s, "could not be given its stdin", "");
}

/* Writes as much of the state as the pipe takes. A hook may well not read it. */
static void feed_hook(struct hook *h)
{
	const char *pieces[] = {text(h->step->state_head),
		decimal((uint64_t)getpid()), /* as seen by the container: runtime.md, "State" */
		text(h->step->state_tail)};
	while (h->piece < 3) {
		size_t left = strlen(pieces[h->piece]) - h->written;
		ssize_t n = left ? write(h->input, pieces[h->piece] + h->written, left) : 0;
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			break;
		h->written += (size_t)n;
		if (h->written == strlen(pieces[h->piece])) {
			h->piece++;
			h->written = 0;
		}
	}
	close(h->input);
	h->input = -1;
}

static void await_hook(struct hook *h)
{
	for (;;) {
		struct pollfd events[2] = {{.fd = h->pidfd, .events = POLLIN}, {.fd = h->input, .events = POLLOUT}};
		int64_t left = h->deadline ? h->deadline - now_ms() : -1;
		if (h->deadline && left <= 0) {
			sys_pidfd_kill(h->pidfd);
			fail(ETIMEDOUT, text(h->step->kind), " hook ", text(h->step->path),
				" took longer than its timeout of ", decimal(h->step->timeout), " s");
		}
		int n = poll(events, h->input >= 0 ? 2 : 1, left > INT32_MAX ? INT32_MAX : (int)left);
		if (n < 0 && errno != EINTR)
			fail_hook(errno, h->step, "could not be waited for", "");
		if (n > 0 && events[0].revents)
			return;
		if (n > 0 && h->input >= 0 && events[1].revents)
			feed_hook(h);
	}
}

static void judge_hook(const struct hook *h)
{
	siginfo_t info;
	memset(&info, 0, sizeof(info));
	while (waitid((idtype_t)3 /* P_PIDFD */, (id_t)h->pidfd, &info, WEXITED) < 0)
		if (errno != EINTR)
			fail_hook(errno, h->step, "could not be waited for", "");
	if (info.si_code != CLD_EXITED)
		fail_hook(0, h->step, "was killed by signal ", decimal((uint64_t)info.si_status));
	if (info.si_status != 0)
		fail_hook(0, h->step, "exited with status ", decimal((uint64_t)info.si_status));
	/* what the hook left running and what ended since: the user's process must not inherit zombies */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

void step_hook(const struct zb_hook *s)
{
	struct hook h = {.step = s, .pidfd = -1, .input = -1};
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	sigaction(SIGPIPE, &ignore, &before);
	h.deadline = s->timeout ? now_ms() + (int64_t)s->timeout * 1000 : 0;
	start_hook(&h);
	await_hook(&h);
	judge_hook(&h);
	if (h.input >= 0)
		close(h.input);
	close(h.pidfd);
	sigaction(SIGPIPE, &before, NULL);
	stage.hooked = true;
}
