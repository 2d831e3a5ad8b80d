//go:build engines

package podman

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

func TestRunGivesWhatIsAskedFor(t *testing.T) {
	forEachUser(t, func(e *engine) {
		e.run(
			engines.Case{Args: `img sh -c 'echo out; echo err >&2; exit 3'`, Code: 3, Stdout: "out", Stderr: "err"},
			engines.Case{Args: `img nosuch`, Code: 127, Stderr: "executable file not found in $PATH"},
			engines.Case{Args: `img /nosuch/x`, Code: 127, Stderr: "no such file or directory"},
			engines.Case{Args: `img /etc/passwd`, Code: 126, Stderr: "permission denied"},
			engines.Case{Args: `-u 1000:1001 --group-add 7 img sh -c 'id -u; id -G'`, Stdout: "1000\n1001 7"},
			engines.Case{Args: `--hostname foo --sysctl net.ipv4.ip_forward=1 img sh -c 'hostname; cat /proc/sys/net/ipv4/ip_forward'`, Stdout: "foo\n1"},
			engines.Case{Args: `--ulimit nofile=100:200 --ulimit nproc=900:900 img sh -c 'ulimit -n; ulimit -Hn'`, Stdout: "100\n200"},
			engines.Case{Args: `--umask 0077 img sh -c umask`, Stdout: "0077"},
			engines.Case{Args: `--init img sh -c 'tr \\0 \\n </proc/1/cmdline | head -n 1'`, Stdout: "/run/podman-init"},
			engines.Case{Args: `--device /dev/fuse img stat -c %t:%T /dev/fuse`, Stdout: "a:e5"},
			engines.Case{Args: `--device /dev/fuse:/dev/other:r img sh -c 'test -c /dev/other && test ! -e /dev/fuse'`},
		)
	})
}

func TestRunConfines(t *testing.T) {
	forEachUser(t, func(e *engine) {
		e.run(
			engines.Case{Args: `--cap-drop all --cap-add net_raw img grep CapPrm /proc/self/status`, Stdout: "CapPrm:\t0000000000002000"},
			engines.Case{Args: `-u 1000 --cap-add net_raw img grep CapAmb /proc/self/status`, Stdout: "CapAmb:\t0000000000002000"},
			engines.Case{Args: `--security-opt no-new-privileges img grep NoNewPrivs /proc/self/status`, Stdout: "NoNewPrivs:\t1"},
			engines.Case{Args: `img grep Seccomp: /proc/self/status`, Stdout: "Seccomp:\t2"},
			engines.Case{Args: `--security-opt seccomp=unconfined img grep Seccomp: /proc/self/status`, Stdout: "Seccomp:\t0"},
			engines.Case{Args: `--security-opt seccomp=` + engines.Dir + `/tmp/seccomp.json img mkdir /new`, Code: 1, Stderr: "Operation not supported"},
			engines.Case{Args: `--security-opt mask=/etc img ls /etc`},
			engines.Case{Args: `img sh -c 'ls /proc/acpi; echo x >/proc/sys/kernel/domainname'`, Code: 1, Stderr: "Read-only file system"},
			engines.Case{Args: `--security-opt unmask=/proc/acpi:/proc/sys img sh -c 'grep -cE "/proc/(acpi|sys) " /proc/mounts'`, Code: 1, Stdout: "0"},
			engines.Case{Args: `--security-opt unmask=ALL img sh -c 'grep -cE " /(proc|sys)/(acpi|kcore|keys|timer_list|firmware|bus|fs|irq|sys) " /proc/mounts'`, Code: 1, Stdout: "0"},
			engines.Case{Args: `--read-only img sh -c 'touch /x || touch /tmp/x && echo written'`, Stdout: "written", Stderr: "/x: Read-only file system"},
		)
	})
}

func TestRunMounts(t *testing.T) {
	forEachUser(t, func(e *engine) {
		dir := e.dir("content")
		e.run(
			engines.Case{Args: `--tmpfs /t:size=1m img sh -c 'grep /t.tmpfs /proc/mounts | grep -o size=1024k'`, Stdout: "size=1024k"},
			engines.Case{Args: `-v ` + dir + `:/d:Z img sh -c 'cat /d/file; echo changed >/d/file'`, Stdout: "content"},
			engines.Case{Args: `-v ` + dir + `:/d:ro,Z img sh -c 'cat /d/file; echo x >/d/file'`, Code: 1, Stdout: "changed", Stderr: "Read-only file system"},
			engines.Case{Args: `-v ` + dir + `:/d:O img sh -c 'echo lost >/d/file; cat /d/file'`, Stdout: "lost"},
			engines.Case{Args: `-v ` + dir + `:/d img cat /d/file`, Stdout: "changed"},
			engines.Case{Args: `-v vol:/v img sh -c 'echo kept >/v/file'`},
			engines.Case{Args: `-v vol:/v img cat /v/file`, Stdout: "kept"},
			engines.Case{Args: `--mount type=bind,src=` + dir + `,dst=/d,ro=true,bind-propagation=rslave img grep -c ' /d ro' /proc/self/mountinfo`, Code: 0, Stdout: "1"},
		)
		e.must("volume", "rm", "vol")
	})
}

// With a mapping of its own, what root of the container makes in an idmapped volume is root's on the host.
func TestIDMappedVolume(t *testing.T) {
	if !engines.IsZbox() {
		t.Skip("runc 1.1 ignores idmap")
	}
	e := asRoot(t)
	dir, err := os.MkdirTemp("/var/tmp", "idmapped-") // on a disk: tmpfs cannot before Linux 6.3
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	e.run(
		engines.Case{Args: `--uidmap 0:100000:5000 -v ` + dir + `:/e:idmap img sh -c 'stat -c %u /e; touch /e/made'`, Stdout: "0"},
		engines.Case{Args: `--uidmap 0:100000:5000 -v ` + dir + `:/e img stat -c %u /e`, Stdout: "65534"},
	)
	if owner := engines.Call(t, "stat", "-c", "%u", dir+"/made"); owner.Stdout != "0\n" {
		t.Errorf("the file belongs to %s%s", owner.Stdout, owner.Stderr)
	}
}

func TestUserNamespaces(t *testing.T) {
	uids := `cat /proc/self/uid_map | tr -s \ `
	t.Run("root", func(t *testing.T) {
		e := asRoot(t)
		e.run(
			engines.Case{Args: `--uidmap 0:100000:5000 img sh -c '` + uids + `'`, Stdout: "0 100000 5000"},
			engines.Case{Args: `--userns=auto:size=1000 img sh -c '` + uids + `'`, Stdout: "0 800000 1000"},
		)
		a := e.must("run", "-d", "--userns=auto:size=1000", "img", "sleep", "1000")
		b := e.must("run", "-d", "--userns=auto:size=1000", "img", "sleep", "1000")
		if a, b := e.must("exec", a, "cat", "/proc/self/uid_map"), e.must("exec", b, "cat", "/proc/self/uid_map"); a == b {
			t.Errorf("two containers have the ids %q", a)
		}
	})
	t.Run("rootless", func(t *testing.T) {
		e := rootless(t)
		e.run(
			engines.Case{Args: `img sh -c '` + uids + ` | head -n 1'`, Stdout: fmt.Sprintf("0 %d 1", e.user.UID)},
			engines.Case{Args: `--userns=keep-id img sh -c 'id -u; touch /tmp/x'`, Stdout: fmt.Sprint(e.user.UID)},
			engines.Case{Args: `--userns=auto:size=1000 img sh -c '` + uids + `'`, Stdout: "0 1 1000"},
		)
		dir := e.dir("own")
		e.run(engines.Case{Args: `--userns=keep-id -v ` + dir + `:/d img stat -c %u /d`, Stdout: fmt.Sprint(e.user.UID)})
	})
}

func TestKeepGroups(t *testing.T) {
	if !engines.IsZbox() {
		t.Skip("runc does not know podman's annotation")
	}
	t.Run("root", func(t *testing.T) {
		asRoot(t).run(engines.Case{Args: `--group-add keep-groups img id -G`, Stdout: "0"})
	})
	t.Run("rootless", func(t *testing.T) { // the group has no number inside
		rootless(t).run(
			engines.Case{Args: `--group-add keep-groups img id -G`, Stdout: "0 65534"},
			engines.Case{Args: `img id -G`, Stdout: "0"},
		)
	})
}

func TestRunLimits(t *testing.T) {
	forEachUser(t, func(e *engine) {
		if !e.limited() {
			e.run(engines.Case{Args: `--memory 30m img echo runs`, Stdout: "runs", Stderr: "not supported"})
			return
		}
		show, want := engines.Limits("33", "31457280", "50000")
		e.run(engines.Case{Args: `--pids-limit 33 --memory 30m --cpus 0.5 img sh -c '` + show + `'`, Stdout: want})
		e.run(engines.Case{Args: `--memory 16m --memory-swap 16m --tmpfs /t img dd if=/dev/zero of=/t/x bs=1M count=30`, Code: 137})
	})
}

func TestCgroupsDisabled(t *testing.T) {
	if !engines.IsZbox() {
		t.Skip("podman refuses it with runc")
	}
	forEachUser(t, func(e *engine) {
		e.run(engines.Case{Args: `--cgroups disabled img sh -c 'grep -c libpod /proc/self/cgroup'`, Code: 1, Stdout: "0"})
	})
}

func TestPreservedDescriptors(t *testing.T) {
	forEachUser(t, func(e *engine) {
		cmd := e.podman("run", "--rm", "--network", "none", "--preserve-fds", "2", "img", "sh", "-c", "cat <&3; cat <&4; ls /proc/self/fd | wc -l")
		for _, text := range []string{"three\n", "four\n"} {
			f := temporary(t, text)
			defer f.Close()
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
		if res := engines.Run(e.t, cmd); res.Stdout != "three\nfour\n6\n" {
			e.t.Errorf("exit %d: %q, %s", res.Code, res.Stdout, res.Stderr)
		}
	})
}

func temporary(t *testing.T, text string) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestInfoNamesTheRuntime(t *testing.T) {
	forEachUser(t, func(e *engine) {
		info := e.must("info", "--format", "{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}} {{.Host.OCIRuntime.Version}}")
		if want := fmt.Sprintf("%[1]s %[2]s %[1]s version ", engines.Name(), engines.Runtime()); !strings.HasPrefix(info, want) {
			e.t.Errorf("podman names the runtime %q, want %q", info, want)
		}
	})
}

// run is check for `podman run`, without network where none is asked for: that takes time.
func (e *engine) run(cases ...engines.Case) {
	e.t.Helper()
	for _, c := range cases {
		if !strings.Contains(c.Args, "--network") {
			c.Args = "--network none " + c.Args
		}
		c.Args = "run --rm " + c.Args
		e.check(c)
	}
}

// dir is a directory of the user's with a file that has the text.
func (e *engine) dir(text string) string {
	e.t.Helper()
	dir, err := os.MkdirTemp(engines.Dir+"/tmp", "volume-")
	if err != nil {
		e.t.Fatal(err)
	}
	file := dir + "/file"
	if err := os.WriteFile(file, []byte(text+"\n"), 0o644); err != nil {
		e.t.Fatal(err)
	}
	if e.user != nil {
		for _, path := range []string{dir, file} {
			if err := os.Chown(path, e.user.UID, e.user.GID); err != nil {
				e.t.Fatal(err)
			}
		}
	}
	return dir
}
