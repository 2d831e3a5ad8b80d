/* floor: the kernel work of `run` of /bin/true with the default configuration, and nothing else: the lower bound of any
 * runtime. Usage: floor ROOTFS CGROUP. Namespaces, a cgroup with its device rules, the loopback interface, the mounts,
 * devices, masked and read-only paths, pivot_root, a session keyring, capabilities, execve. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
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

/* The default device rules (config-linux.md, "Default Devices", and mknod of any), as a BPF program for the cgroup. */
#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define ANY                 0xffffffffu

static const struct device_rule {
	int type; /* BPF_DEVCG_DEV_* */
	int access;
	unsigned major, minor;
} device_rules[] = {{BPF_DEVCG_DEV_CHAR, 7, 1, 3}, {BPF_DEVCG_DEV_CHAR, 7, 1, 8}, {BPF_DEVCG_DEV_CHAR, 7, 1, 7},
	{BPF_DEVCG_DEV_CHAR, 7, 5, 0}, {BPF_DEVCG_DEV_CHAR, 7, 1, 5}, {BPF_DEVCG_DEV_CHAR, 7, 1, 9},
	{BPF_DEVCG_DEV_CHAR, 7, 136, ANY}, {BPF_DEVCG_DEV_CHAR, 7, 5, 2},
	{BPF_DEVCG_DEV_CHAR, BPF_DEVCG_ACC_MKNOD, ANY, ANY}, {BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_ACC_MKNOD, ANY, ANY}};

/* r2 is the type, r3 the access, r4 and r5 the numbers; a rule that does not fit jumps to the next one. */
static int add_rule(struct bpf_insn *p, const struct device_rule *r)
{
	int n = 0, jumps[4], count = 0;
	p[jumps[count++] = n++] = INSN(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 0, r->type);
	if (r->access != 7) {
		p[n++] = INSN(BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0);
		p[n++] = INSN(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, r->access);
		p[jumps[count++] = n++] = INSN(BPF_JMP | BPF_JNE | BPF_X, 1, 3, 0, 0);
	}
	if (r->major != ANY)
		p[jumps[count++] = n++] = INSN(BPF_JMP | BPF_JNE | BPF_K, 4, 0, 0, (int)r->major);
	if (r->minor != ANY)
		p[jumps[count++] = n++] = INSN(BPF_JMP | BPF_JNE | BPF_K, 5, 0, 0, (int)r->minor);
	p[n++] = INSN(BPF_ALU | BPF_MOV | BPF_K, 0, 0, 0, 1);
	p[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	while (count-- > 0)
		p[jumps[count]].off = (short)(n - jumps[count] - 1);
	return n;
}

static void limit_devices(int cgroup)
{
	struct bpf_insn program[128];
	int n = 0;
	program[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0);
	program[n++] = INSN(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
	program[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 3, 1, 0, 0);
	program[n++] = INSN(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
	program[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 4, 1, 4, 0);
	program[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 5, 1, 8, 0);
	for (size_t i = 0; i < sizeof(device_rules) / sizeof(device_rules[0]); i++)
		n += add_rule(program + n, &device_rules[i]);
	program[n++] = INSN(BPF_ALU | BPF_MOV | BPF_K, 0, 0, 0, 0);
	program[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insns = (uint64_t)(uintptr_t)program,
		.insn_cnt = (uint32_t)n,
		.license = (uint64_t)(uintptr_t) "Apache"};
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
	check(fd < 0, "load of the device rules");
	union bpf_attr attach = {.target_fd = (uint32_t)cgroup,
		.attach_bpf_fd = (uint32_t)fd,
		.attach_type = BPF_CGROUP_DEVICE,
		.attach_flags = BPF_F_ALLOW_MULTI};
	check(syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof(attach)) < 0, "attach of the device rules");
	close(fd);
}

static void loopback_up(void)
{
	struct ifreq lo = {.ifr_name = "lo"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	check(fd < 0 || ioctl(fd, SIOCGIFFLAGS, &lo), "loopback");
	lo.ifr_flags |= IFF_UP;
	check(ioctl(fd, SIOCSIFFLAGS, &lo), "loopback up");
	close(fd);
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
	loopback_up();
	mount_all(root);
	make_devices();
	check(sethostname("runc", 4), "hostname");
	enter_root();
	hide();
	check(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "_ses.floor", 0, 0, 0) < 0, "session keyring");
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
	int rules = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(rules < 0, "open of the cgroup for its rules");
	limit_devices(rules);
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
