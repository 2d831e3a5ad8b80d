/* Processes and namespaces. */
#include "stage.h"
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

void step_open_proc(void)
{
	struct statfs fs;
	struct stat st;
	int fd = open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
		fail(errno, "open /proc");
	if (fs.f_type != PROC_SUPER_MAGIC || st.st_ino != PROC_ROOT_INO)
		fail(EINVAL, "/proc is not a procfs");
	stage.proc_fd = fd;
}

void step_proc_write(const struct zb_proc_write *s)
{
	const char *path = text(s->path);
	if (stage.proc_fd < 0)
		fail(EBADF, "write /proc/", path, " without open_proc");
	int fd = sys_openat2(
		stage.proc_fd, path, O_WRONLY | O_NOCTTY, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS);
	if (fd < 0)
		fail(errno, "open /proc/", path);
	/* in one write: procfs takes a second one for a new value */
	ssize_t n = write(fd, text(s->value), s->value.length);
	if (n < 0)
		fail(errno, "write \"", text(s->value), "\" to /proc/", path);
	if ((size_t)n != s->value.length)
		fail(EIO, "short write to /proc/", path);
	close(fd);
}

/* A process that enters namespaces of others must not be traceable by them before it drops its privileges and
 * descriptors (CVE-2016-9962). */
void step_setns(const struct zb_setns *s)
{
	if (!stage.joined && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		fail(errno, "forbid tracing");
	stage.joined = true;
	if (setns(plan_fd(s->fd), (int)s->types) < 0)
		fail(errno, "join namespace ", text(s->what));
}

void step_unshare(const struct zb_unshare *s)
{
	if (unshare((int)s->types) < 0)
		fail(errno, "unshare");
}

void step_clone(const struct zb_clone *s)
{
	int gate[2];
	if (pipe2(gate, O_CLOEXEC) < 0)
		fail(errno, "make a pipe");
	/* CLONE_PARENT: the new process is zbox's child, and has its exit signal */
	struct linux_clone_args args = {.flags = s->types | LINUX_CLONE_PARENT};
	if (s->cgroup >= 0) {
		args.flags |= LINUX_CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)plan_fd(s->cgroup);
	}
	int pid = sys_clone3(&args);
	if (pid < 0)
		fail(errno, s->cgroup >= 0 ? "clone into the cgroup" : "clone");
	if (pid > 0) {
		send_report(ZB_REPORT_CLONED, pid, -1);
		_exit(0);
	}
	close(gate[1]);
	stage.gate_fd = gate[0];
	if (s->cgroup >= 0)
		close((int)args.cgroup); /* a directory of the host: the sooner it is gone the better (CVE-2024-21626)
					  */
	/* In a user namespace of its own nobody else can trace it, and an unprivileged zbox must reach its /proc files.
	 */
	if (!(s->types & LINUX_CLONE_NEWUSER) && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		fail(errno, "forbid tracing");
}

void step_sync(void)
{
	send_report(ZB_REPORT_SYNC, 0, -1);
	wait_go();
}

void step_setsid(void)
{
	if (setsid() < 0)
		fail(errno, "start a session");
}

void step_parent_death(const struct zb_parent_death *s)
{
	struct pollfd zbox = {.fd = stage.report_fd, .events = POLLRDHUP};
	stage.death_signal = s->signal;
	renew_parent_death();
	/* a zbox that is gone already sends no signal any more */
	if (poll(&zbox, 1, 0) > 0 && zbox.revents & (POLLHUP | POLLRDHUP))
		_exit(1);
}

/* The kernel forgets the signal when the credentials change. */
void renew_parent_death(void)
{
	if (stage.death_signal && prctl(PR_SET_PDEATHSIG, (unsigned long)stage.death_signal, 0, 0, 0) < 0)
		fail(errno, "set the parent death signal");
}

void step_hostname(const struct zb_hostname *s)
{
	if (sethostname(text(s->value), s->value.length) < 0)
		fail(errno, "set host name ", text(s->value));
}

void step_domainname(const struct zb_domainname *s)
{
	if (setdomainname(text(s->value), s->value.length) < 0)
		fail(errno, "set domain name ", text(s->value));
}

void step_loopback(void)
{
	struct ifreq request;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* any family does for SIOCSIFFLAGS */
	if (fd < 0)
		fail(errno, "open a socket");
	memset(&request, 0, sizeof(request));
	memcpy(request.ifr_name, "lo", 3);
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		fail(errno, "look at interface lo");
	request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		fail(errno, "set interface lo up");
	close(fd);
}
