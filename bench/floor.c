/* floor: the kernel work of `run` of /bin/true with the default configuration, and nothing else: the lower bound of any
 * runtime. Usage: floor ROOTFS CGROUP. Namespaces, a cgroup, the mounts, devices, masked and read-only paths,
 * pivot_root, capabilities, execve. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(int bad, const char *what)
{
	if (bad) {
		fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static void mount_all(const char *root)
{
	check(mount("", "/", NULL, MS_PRIVATE | MS_REC, NULL), "propagation");
	check(mount(root, root, NULL, MS_BIND | MS_REC, NULL), "root");
	check(chdir(root), "chdir to root");
	check(mount("proc", "proc", "proc", 0, NULL), "proc");
	check(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"), "dev");
	check(mkdir("dev/pts", 0755) || mkdir("dev/shm", 0755) || mkdir("dev/mqueue", 0755), "directories of dev");
	check(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"),
		"pts");
	check(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k"), "shm");
	check(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL), "mqueue");
	check(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL), "sysfs");
	check(mount("cgroup", "sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL),
		"cgroup");
}

static void make_devices(void)
{
	static const struct {
		const char *path;
		int major, minor;
	} nodes[] = {{"dev/null", 1, 3}, {"dev/zero", 1, 5}, {"dev/full", 1, 7}, {"dev/random", 1, 8},
		{"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		check(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), nodes[i].path);
	check(symlink("/proc/self/fd", "dev/fd") || symlink("/proc/self/fd/0", "dev/stdin") ||
			symlink("/proc/self/fd/1", "dev/stdout") || symlink("/proc/self/fd/2", "dev/stderr") ||
			symlink("pts/ptmx", "dev/ptmx"),
		"links of dev");
}

static void enter_root(void)
{
	check(syscall(SYS_pivot_root, ".", ".") != 0, "pivot_root");
	check(umount2(".", MNT_DETACH), "umount of the old root");
	check(chdir("/"), "chdir");
}

static void hide(void)
{
	static const char *const readonly[] = {
		"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
	static const char *const masked[] = {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
		"/proc/scsi"};
	for (size_t i = 0; i < sizeof(readonly) / sizeof(readonly[0]); i++) {
		if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) == 0)
			check(mount(NULL, readonly[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), readonly[i]);
	}
	for (size_t i = 0; i < sizeof(masked) / sizeof(masked[0]); i++) {
		struct stat st;
		if (stat(masked[i], &st))
			continue;
		if (S_ISDIR(st.st_mode))
			check(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, "size=0k"), masked[i]);
		else
			check(mount("/dev/null", masked[i], NULL, MS_BIND, NULL), masked[i]);
	}
}

static void drop_privileges(void)
{
	const uint32_t keep = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{.effective = keep, .permitted = keep}};
	struct rlimit files = {1024, 1024};
	check(setrlimit(RLIMIT_NOFILE, &files), "rlimit");
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (cap >= 32 || !(keep & 1u << cap))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	}
	check(syscall(SYS_capset, &header, data) != 0, "capset");
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
}

static void become(const char *root)
{
	static char *const args[] = {"true", NULL};
	static char *const env[] = {"PATH=/bin", NULL};
	setsid();
	mount_all(root);
	make_devices();
	check(sethostname("runc", 4), "hostname");
	enter_root();
	hide();
	drop_privileges();
	syscall(SYS_close_range, 3, ~0u, 0);
	execve("/bin/true", args, env);
	check(1, "execve");
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: floor ROOTFS CGROUP\n");
		return 2;
	}
	check(mkdir(argv[2], 0755), "mkdir of the cgroup");
	int cgroup = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
	check(cgroup < 0, "open of the cgroup");
	struct clone_args args = {
		.flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWCGROUP |
			 CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)cgroup,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	check(pid < 0, "clone3");
	if (pid == 0)
		become(argv[1]);
	int status;
	check(waitpid((pid_t)pid, &status, 0) < 0, "wait");
	check(rmdir(argv[2]), "rmdir of the cgroup");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
