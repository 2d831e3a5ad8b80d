/* The init of a sandbox, process 1 of its pid namespace: it starts the program, passes signals on to it, reaps
 * everything that becomes its child, and ends as the program did. The kernel kills what is left then. */
#include "stage.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* As shells have it: the program is not there, or it cannot be executed. */
#define NOT_FOUND      127
#define NOT_EXECUTABLE 126

static void say(const char *text)
{
	if (write(2, text, strlen(text)) < 0)
		return; /* nobody listens */
}

/* In a process group of its own, which is that of the terminal: what the user types is for the program alone, so that
 * init does not pass on what the program has got already. */
_Noreturn static void become_program(char **argv, const sigset_t *mask)
{
	extern char **environ;
	setpgid(0, 0);
	if (isatty(0))
		tcsetpgrp(0, getpgrp()); /* SIGTTOU is blocked still */
	sigprocmask(SIG_SETMASK, mask, NULL);
	execve(argv[0], argv, environ);
	int error = errno;
	say("init: ");
	say(why_exec(error, argv[0]));
	say(": ");
	say(strerror(error));
	say("\n");
	_exit(error == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

/* Every child that has ended; when the program is among them, its status is the result. */
static void reap(pid_t program)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		if (pid == program)
			_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

_Noreturn void run_init(char **argv)
{
	sigset_t all, before;
	/* From the first instruction on: process 1 ignores what it does not handle, and a blocked signal waits. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t program = fork();
	if (program < 0) {
		say("init: starting a process: ");
		say(strerror(errno));
		say("\n");
		_exit(NOT_EXECUTABLE);
	}
	if (program == 0)
		become_program(argv, &before);
	for (int sig;;) {
		if (sigwait(&all, &sig))
			continue;
		if (sig == SIGCHLD)
			reap(program);
		else
			kill(program, sig);
	}
}
