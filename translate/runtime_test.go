package translate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bxrne/zbox/tests/integration"
)

// These tests run the bundle on a real runtime, $RUNTIME or the installed runc: what translate writes is plain OCI.

// run makes a bundle of c, runs it and returns what it printed on both streams and its exit code.
func run(t *testing.T, c *Config, args ...string) (string, int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	oci := os.Getenv("RUNTIME")
	if oci == "" {
		oci = "runc"
	}
	tmp := integration.PublicDir(t)
	o, err := HostOptions()
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(tmp, "bundle")
	if _, err := c.Bundle(bundle, args, o); err != nil {
		t.Fatal(err)
	}
	id := filepath.Base(tmp)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, oci, "--root", filepath.Join(tmp, "state"), "run", "-b", bundle, id)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// box is a sandbox of busybox that any runtime can start in.
func box() *Config {
	return preset(&Config{Name: "box_1", Binary: "/bin/busybox", Root: "/nonexistent", CPUCores: 2, CPULimitPercent: 10, MemoryLimitMB: 64})
}

func expect(t *testing.T, c *Config, script, want string, code int) {
	t.Helper()
	out, got := run(t, c, "sh", "-c", script)
	if out != want || got != code {
		t.Errorf("exit code %d, output:\n%s\nwant %d:\n%s", got, out, code, want)
	}
}

func TestSandboxIsAnUnprivilegedUser(t *testing.T) {
	o, err := HostOptions()
	if err != nil {
		t.Fatal(err)
	}
	script := `id -u; id -g; hostname; cat /etc/hostname; awk '{ print $1, $2, $3 }' /proc/self/uid_map /proc/self/gid_map; ` +
		`grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status | tr -d '\t'; echo $PPID; echo $HOME; pwd`
	none := strings.Repeat("0", 16)
	want := "0\n0\nbox-1\nbox-1\n" + fmt.Sprintf("0 %d 65536\n0 %d 65536\n", o.SubUID.Start, o.SubGID.Start) +
		"CapInh:" + none + "\nCapPrm:" + none + "\nCapEff:" + none + "\nCapBnd:" + none + "\nCapAmb:" + none + "\nNoNewPrivs:1\nSeccomp:2\n0\n/tmp\n/\n"
	expect(t, box(), script, want, 0)
}

func TestSandboxSeesItsLimitsAndCannotChangeThem(t *testing.T) {
	script := `cd /sys/fs/cgroup
		cat memory.max memory.swap.max cpu.max pids.max memory.oom.group 2>/dev/null
		cat memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us pids/pids.max 2>/dev/null
		echo 99999999 2>/dev/null > memory.max || echo 99999999 2>/dev/null > memory/memory.limit_in_bytes || echo refused`
	want := "67108864\n67108864\n20000\n100000\n512\nrefused\n"
	if o, err := HostOptions(); err == nil && o.CgroupV2 {
		want = "67108864\n0\n20000 100000\n512\n1\nrefused\n"
	}
	expect(t, box(), script, want, 0)
}

func TestSandboxWritesToAFreshRoot(t *testing.T) {
	script := `ls /; for f in /x /etc/passwd /bin/x /bin/busybox /sys/x /dev/shm/x /tmp/x; do (echo > $f) 2>/dev/null && echo "wrote $f"; done
		stat -c %a /tmp; for f in /tmp /; do dd if=/dev/zero of=$f/large bs=1M count=40 2>/dev/null; [ $(stat -c %s $f/large) -lt 33554432 ] && echo full; rm $f/large; done`
	const list = "bin\ndev\netc\nproc\nsys\ntmp\n"
	expect(t, box(), script, list+"wrote /x\nwrote /etc/passwd\nwrote /bin/x\nwrote /dev/shm/x\nwrote /tmp/x\n1777\nfull\nfull\n", 0)
	expect(t, box(), "ls / /tmp; cat /etc/passwd | wc -l", "/:\n"+list+"\n/tmp:\n2\n", 0)
	c := box()
	c.ReadonlyRoot = true
	c.TmpfsSizeMB = 1
	script = `for f in /x /etc/passwd /bin/x /sys/x /dev/shm/x /tmp/x; do (echo > $f) 2>/dev/null && echo "wrote $f"; done; df -k /tmp /dev/shm | awk '{ print $2 }'`
	expect(t, c, script, "wrote /dev/shm/x\nwrote /tmp/x\n1K-blocks\n1024\n1024\n", 0)
}

func TestSandboxHasALoopbackInterfaceOnly(t *testing.T) {
	script := `ls /sys/class/net; cat /sys/class/net/lo/flags; nc -l -p 80 -e echo through >/dev/null & i=0
		until nc 127.0.0.1 80 2>/dev/null; do i=$((i+1)); [ $i -lt 500 ] || exit 1; done`
	expect(t, box(), script, "lo\n0x9\nthrough\n", 0)
}

func TestSandboxReturnsTheExitCode(t *testing.T) {
	expect(t, box(), "exit 7", "", 7)
	expect(t, box(), "kill -9 $$; exit 3", "", 3) // a signal to pid 1 from inside has no effect (pid_namespaces(7))
	expect(t, box(), "busybox sh -c 'kill -15 $$'; exit $?", "Terminated\n", 143)
}

func TestSandboxCannotSeeTheHost(t *testing.T) {
	script := `echo /proc/[0-9]*; mount -t tmpfs x /tmp 2>&1; mkdir /tmp/d; busybox chroot /tmp/d true 2>&1; cat /proc/keys /proc/timer_list | wc -c
		(echo x > /proc/sys/kernel/hostname) 2>&1; mknod /tmp/sda b 8 0 2>&1; ls /proc/1/root`
	want := "/proc/1\nmount: permission denied (are you root?)\nchroot: can't change root directory to '/tmp/d': Operation not permitted\n0\n" +
		"sh: can't create /proc/sys/kernel/hostname: Read-only file system\nmknod: /tmp/sda: Operation not permitted\nbin\ndev\netc\nproc\nsys\ntmp\n"
	expect(t, box(), script, want, 0)
}

func TestSandboxHasTheUsualDevices(t *testing.T) {
	script := `echo $(ls /dev | grep -v core); for d in null zero full random urandom tty ptmx; do [ -c /dev/$d ] || echo no $d; done
		head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; (echo > /dev/full) 2>&1; echo given | cat /dev/stdin; ls /dev/shm /dev/pts`
	want := "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero\n3\n3\nsh: write error: No space left on device\ngiven\n" +
		"/dev/pts:\nptmx\n\n/dev/shm:\n"
	expect(t, box(), script, want, 0)
}

func TestSandboxRunsOnARootWithContent(t *testing.T) {
	tmp := integration.PublicDir(t)
	c := box()
	c.Root = filepath.Join(tmp, "base")
	for _, dir := range []string{"", "bin", "etc", "srv", "tmp"} {
		if err := os.Mkdir(filepath.Join(c.Root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"bin/busybox": "", "etc/motd": "hello\n", "tmp/hidden": ""} {
		if err := os.WriteFile(filepath.Join(c.Root, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	// What the seed's next run would have written through.
	if err := os.Symlink("/etc/motd", filepath.Join(c.Root, "etc/link")); err != nil {
		t.Fatal(err)
	}
	before := listing(t, c.Root)
	script := `ls /; cat /etc/link; ls /tmp; for f in /srv/x /etc/motd /etc/link /bin/busybox; do (echo > $f) 2>/dev/null && echo "wrote $f"; done; cat /etc/motd`
	out, code := run(t, c, "sh", "-c", script)
	// Under a runtime that maps no ids of mounts, as runc 1.1, all files of the base are nobody's.
	want := "bin\ndev\netc\nproc\nsrv\nsys\ntmp\nhello\n"
	if want1 := want + "wrote /srv/x\nwrote /etc/motd\nwrote /etc/link\n\n"; code != 0 || out != want1 && out != want+"hello\n" {
		t.Errorf("exit code %d, output:\n%s\nwant:\n%s", code, out, want1)
	}
	if after := listing(t, c.Root); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("root changed: %q", after)
	}
	if err := os.Chown(c.Root, 12345, 0); err != nil {
		t.Fatal(err)
	}
	_, err := c.Bundle(filepath.Join(tmp, "refused"), nil, Options{})
	if want := fmt.Sprintf(": root: %s: belongs to uid 12345; it must belong to root or to uid 0", c.Root); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestSandboxRefusesTheDeniedCallsAndLives(t *testing.T) {
	c := box()
	c.Binary = filepath.Join(integration.PublicDir(t), "probe")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Binary, self, 0o755); err != nil {
		t.Fatal(err)
	}
	want := "clone3: 38\nclone NEWUSER: 1\nclone NEWNET and more: 1\nunshare: 1\nmount: 1\nopen_tree: 1\nchroot: 1\nptrace: 1\nkeyctl: 1\n" +
		"io_uring_setup: 1\npidfd_getfd: 1\nioctl TIOCSTI: 1\nioctl TIOCSTI with a high bit: 1\nioctl TCGETS: 9\n" +
		"socket UNIX: 0\nsocket INET: 0\nsocket NETLINK: 0\nsocket ALG: 97\nsocket VSOCK: 97\nsocket VSOCK with a high bit: 97\n"
	if out, code := run(t, c, probeCalls); out != want || code != 0 {
		t.Errorf("exit code %d, got:\n%s\nwant:\n%s", code, out, want)
	}
}

func TestSandboxIsKilledByAForeignCall(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("x32 is a matter of amd64")
	}
	c := box()
	c.Binary = filepath.Join(integration.PublicDir(t), "foreign")
	writeForeign(t, c.Binary)
	if out, code := run(t, c); out != "" || code != 128+int(syscall.SIGSYS) {
		t.Errorf("exit code %d, output %q", code, out)
	}
}
