package main

// The command start has to leave a server behind. A Go program cannot fork; executing itself again, as other shims do, costs a second
// start of the Go runtime with everything that is linked in. So start forks here, before the Go runtime begins: the child goes on as the
// server, and hands its address to the parent, which waits for it, prints it and ends.
//
// The child's descriptor 3 is the pipe for the address; nothing else is open by then but what containerd gave. shim/start.go is the
// other side.

/*
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "arguments.h"

enum { ADDRESS_FD = 3 };

static void die(const char *what)
{
	fprintf(stderr, "containerd-shim-zbox-v2: start: %s: %s\n", what, strerror(errno));
	_exit(1);
}

// Copies what the child has to say to standard output. Ends with the child's status when it ends without an address.
static void relay(pid_t child, int from)
{
	char buffer[4096];
	size_t total = 0;
	ssize_t n;

	while ((n = read(from, buffer, sizeof buffer)) != 0) {
		if (n < 0) {
			if (errno == EINTR)
				continue;
			die("reading the address");
		}
		if (write(STDOUT_FILENO, buffer, (size_t)n) != n)
			die("writing the address");
		total += (size_t)n;
	}
	if (total == 0) {
		int status = 0;

		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		_exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1);
	}
	_exit(0);
}

void leave_server(void)
{
	int ends[2];
	pid_t child;

	if (pipe(ends) < 0)
		die("making a pipe");
	child = fork();
	if (child < 0)
		die("forking");
	if (child > 0) {
		close(ends[1]);
		relay(child, ends[0]);
	}
	close(ends[0]);
	if (ends[1] != ADDRESS_FD) {
		if (dup2(ends[1], ADDRESS_FD) < 0)
			die("moving the pipe");
		close(ends[1]);
	}
	if (setpgid(0, 0) < 0)
		die("leaving the process group");
}
*/
import "C"
