package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestExecRunsInTheContainersNamespaces(t *testing.T) {
	for name, mutate := range map[string]func(*specs.Spec){
		"plain": func(*specs.Spec) {}, "user namespace": WithUserNamespace,
		"cgroup namespace": WithNamespace(specs.CgroupNamespace, ""),
	} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			c := r.Start(NewBundle(t, mutate, Sleep))
			seen := c.Probe()
			for kind, got := range seen.Namespaces {
				if want, _ := os.Readlink("/proc/" + strconv.Itoa(c.Pid) + "/ns/" + kind); got != want {
					t.Errorf("%s namespace is %s, the container's %s", kind, got, want)
				}
			}
			if root, ok := seen.MountAt("/"); !ok || !strings.HasSuffix(root.Root, "rootfs") {
				t.Errorf("root is %+v", root)
			}
			if len(seen.FDs) != 3 {
				t.Errorf("open descriptors %v, want 0, 1 and 2", seen.FDs)
			}
			want := map[string]string{"Inh": "", "Amb": "", "Bnd": defaultCaps(), "Prm": defaultCaps(), "Eff": defaultCaps()}
			for set, caps := range want {
				if seen.Caps[set] != caps {
					t.Errorf("%s is %s, want %s", set, seen.Caps[set], caps)
				}
			}
			if seen.NoNewPrivs != 1 {
				t.Error("no_new_privs of the configuration is not set")
			}
		})
	}
}

func defaultCaps() string {
	return hexCaps(unix.CAP_AUDIT_WRITE, unix.CAP_KILL, unix.CAP_NET_BIND_SERVICE)
}

func TestExecIsInTheContainersCgroup(t *testing.T) {
	r := New(t)
	c := running(t, r)
	res := c.Exec(c.ID, "/bin/cat", "/proc/self/cgroup")
	if n := strings.Count(res.Stdout, c.ID); n == 0 || !CgroupV2() && n < 5 {
		t.Errorf("cgroups of the process:\n%s", res.Stdout)
	}
}

func TestExecFlags(t *testing.T) {
	r := New(t)
	c := r.Start(NewBundle(t, Sleep, func(s *specs.Spec) {
		s.Process.NoNewPrivileges = false
		s.Process.Env = append(s.Process.Env, "FROM=config")
	}))
	t.Run("user and group", func(t *testing.T) {
		seen := c.Probe("--user", "1000:100")
		if seen.UID[0] != 1000 || seen.GID[0] != 100 {
			t.Errorf("uid %v and gid %v, want 1000 and 100", seen.UID, seen.GID)
		}
	})
	t.Run("user alone", func(t *testing.T) {
		if seen := c.Probe("-u", "1000"); seen.UID[0] != 1000 {
			t.Errorf("uid %v, want 1000", seen.UID)
		}
	})
	t.Run("additional groups", func(t *testing.T) {
		seen := c.Probe("-u", "1000:100", "-g", "7", "-g", "8")
		if slices.Sort(seen.Groups); !slices.Equal(seen.Groups, []int{7, 8}) {
			t.Errorf("groups %v, want 7 and 8", seen.Groups)
		}
	})
	t.Run("environment is added to the configuration's", func(t *testing.T) {
		seen := c.Probe("-e", "A=1", "-e", "B=x y")
		for _, want := range []string{"A=1", "B=x y", "FROM=config", "PATH=/bin"} {
			if !slices.Contains(seen.Env, want) {
				t.Errorf("env %q lacks %s", seen.Env, want)
			}
		}
	})
	t.Run("directory", func(t *testing.T) {
		if seen := c.Probe("--cwd", "/home/user"); seen.Cwd != "/home/user" {
			t.Errorf("cwd %s", seen.Cwd)
		}
	})
	t.Run("no new privileges", func(t *testing.T) {
		if seen := c.Probe("--no-new-privs"); seen.NoNewPrivs != 1 {
			t.Error("no_new_privs is not set")
		}
	})
	t.Run("capability never becomes inheritable", func(t *testing.T) {
		seen := c.Probe("--cap", "CAP_SYS_TIME")
		want := hexCaps(unix.CAP_AUDIT_WRITE, unix.CAP_KILL, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_TIME)
		if seen.Caps["Eff"] != want || seen.Caps["Inh"] != "" {
			t.Errorf("capabilities %v, want %s effective and none inheritable", seen.Caps, want)
		}
	})
	t.Run("user that is no number is refused", func(t *testing.T) {
		for _, user := range []string{"1x", "4294967296", "-1", "x", "1:y", ":1"} {
			if user == "-1" || user == "4294967296" || user == ":1" {
				if !IsZbox() {
					continue // runc 1.1 wraps around
				}
			}
			if res := c.Exec("--user", user, c.ID, "/bin/id", "-u"); res.Code != 255 {
				t.Errorf("user %q: exit %d, stdout %s; want 255", user, res.Code, res.Stdout)
			}
		}
	})
}

func TestExecExitCodes(t *testing.T) {
	r := New(t)
	c := running(t, r)
	for _, test := range []struct {
		name string
		args []string
		code int
	}{
		{"success", []string{"/bin/true"}, 0},
		{"failure", []string{"/bin/sh", "-c", "exit 42"}, 42},
		{"signal", []string{"/bin/sh", "-c", "kill -9 $$"}, 137},
		{"the runtime's own failure", []string{"/no/such/program"}, 255},
	} {
		t.Run(test.name, func(t *testing.T) {
			res := c.Exec(append([]string{c.ID}, test.args...)...)
			if res.Code != test.code {
				t.Errorf("exit %d, want %d; stderr %s", res.Code, test.code, res.Stderr)
			}
		})
	}
	t.Run("container that is not there", func(t *testing.T) {
		if res := r.Do("exec", "missing", "/bin/true"); res.Code != 255 || !strings.Contains(res.Stderr, "does not exist") {
			t.Errorf("exit %d, stderr %q; want 255 and does not exist", res.Code, res.Stderr)
		}
	})
}

func TestExecArgumentsBelongToTheCommand(t *testing.T) {
	r := New(t)
	c := running(t, r)
	res := c.Exec(c.ID, "/bin/echo", "-n", "--user", "-t", "--", "x")
	if res.Stdout != "--user -t -- x" {
		t.Errorf("stdout %q, stderr %q", res.Stdout, res.Stderr)
	}
}

func TestExecProcessFile(t *testing.T) {
	r := New(t)
	c := running(t, r)
	umask := uint32(0o027)
	process := specs.Process{
		Args: []string{"/bin/probe", "file"}, Env: []string{"PATH=/bin", "ONLY=this"}, Cwd: "/tmp",
		User:         specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{9}, Umask: &umask},
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}},
		Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Soft: 1, Hard: 2}},
	}
	text, err := json.Marshal(process)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "process.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	res := c.Exec("--process", file, c.ID)
	if res.Code != 0 {
		t.Fatalf("exit %d: %s", res.Code, res.Stderr)
	}
	seen := decodeReport(t, res.Stdout)
	if seen.UID[0] != 5 || seen.GID[0] != 6 || !slices.Equal(seen.Groups, []int{9}) || IsZbox() && seen.Umask != 0o027 { // runc 1.1 has no umask for exec
		t.Errorf("uid %v gid %v groups %v umask %o", seen.UID, seen.GID, seen.Groups, seen.Umask)
	}
	if seen.Cwd != "/tmp" || !slices.Contains(seen.Env, "ONLY=this") || seen.Rlimits["RLIMIT_CORE"] != [2]uint64{1, 2} || seen.Caps["Bnd"] != "1" {
		t.Errorf("cwd %s env %q core %v capabilities %v", seen.Cwd, seen.Env, seen.Rlimits["RLIMIT_CORE"], seen.Caps)
	}
	if seen.NoNewPrivs != 0 {
		t.Error("no_new_privs is set although the file does not ask for it")
	}
}

func TestExecDetachWritesThePid(t *testing.T) {
	r := New(t)
	c := running(t, r)
	file := filepath.Join(t.TempDir(), "pid")
	c.runDetached(r.Command("exec", "--detach", "--pid-file", file, c.ID, "/bin/sleep", "1006"))
	text := strings.TrimSpace(r.read(file))
	Eventually(t, "process "+text+" is the sleep", func() bool { // runc does not wait for execve(2)
		cmdline, _ := os.ReadFile("/proc/" + text + "/cmdline")
		return IsZbox() || strings.Contains(string(cmdline), "1006")
	})
	if cmdline, err := os.ReadFile("/proc/" + text + "/cmdline"); err != nil || !strings.Contains(string(cmdline), "1006") {
		t.Errorf("process %s is %q, %v; want the sleep", text, cmdline, err)
	}
	var pids []int
	if err := json.Unmarshal([]byte(r.Must("ps", "--format", "json", c.ID)), &pids); err != nil {
		t.Fatal(err)
	}
	if len(pids) != 2 || !slices.Contains(pids, c.Pid) {
		t.Errorf("ps %v, want the process %d and one more", pids, c.Pid)
	}
}

func TestExecPreservesFDs(t *testing.T) {
	r := New(t)
	c := running(t, r)
	f, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := r.Command("exec", "--preserve-fds", "1", c.ID, "/bin/probe")
	cmd.ExtraFiles = []*os.File{f, f}
	seen := decodeReport(t, r.DoCommand(cmd).Stdout)
	if len(seen.FDs) != 4 || !strings.HasSuffix(seen.FDs[3], "passwd") {
		t.Errorf("open descriptors %v, want one at 3 and no more", seen.FDs)
	}
}

func TestExecStdinReachesTheProcess(t *testing.T) {
	r := New(t)
	c := running(t, r)
	cmd := r.Command("exec", c.ID, "/bin/cat")
	cmd.Stdin = strings.NewReader("hello\n")
	if got := r.DoCommand(cmd).Stdout; got != "hello\n" {
		t.Errorf("output %q", got)
	}
}

func TestExecCannotLeaveTheContainersCgroup(t *testing.T) {
	r := New(t)
	c := running(t, r)
	for _, path := range []string{"../../x", "..", "a/../../x"} {
		if res := c.Exec("--cgroup", path, c.ID, "/bin/true"); res.Code != 255 {
			t.Errorf("exec --cgroup %s: exit %d, want 255", path, res.Code)
		}
	}
}

func TestExecPidfdSocketReceivesAPidfdOfTheProcess(t *testing.T) {
	r := New(t)
	ZboxOnlyUnless(t, r.Has("exec", "--pidfd-socket"), "runc has --pidfd-socket since 1.2")
	c := running(t, r)
	path, receive := DescriptorSocket(t)
	file := filepath.Join(t.TempDir(), "pid")
	c.runDetached(r.Command("exec", "--detach", "--pid-file", file, "--pidfd-socket", path, c.ID, "/bin/sleep", "1009"))
	f := receive()
	defer f.Close()
	info := r.read(filepath.Join("/proc/self/fdinfo", strconv.Itoa(int(f.Fd()))))
	if pid := r.read(file); !strings.Contains(info, "\nPid:\t"+pid+"\n") {
		t.Errorf("the descriptor is\n%swant one of process %s", info, pid)
	}
}

func TestExecIgnoresThatTheContainerIsPaused(t *testing.T) {
	r := New(t)
	ZboxOnlyUnless(t, r.Has("exec", "--ignore-paused"), "runc has --ignore-paused since 1.1")
	c := paused(t, r)
	cmd := r.Command("exec", "--ignore-paused", c.ID, "/bin/true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The process is frozen with the others of its cgroup: it can end only once the container is resumed.
	Eventually(t, "the process is in the cgroup", func() bool {
		var pids []int
		return json.Unmarshal([]byte(r.Must("ps", "--format", "json", c.ID)), &pids) == nil && len(pids) > 1
	})
	r.Must("resume", c.ID)
	if err := cmd.Wait(); err != nil {
		t.Errorf("exec: %v", err)
	}
}

func TestExecInASubCgroup(t *testing.T) {
	r := New(t)
	c := running(t, r)
	dir, flag := "/sys/fs/cgroup/pids/"+c.ID, "pids:sub"
	if CgroupV2() {
		dir, flag = c.CgroupDir(), "sub"
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := c.Must("exec", "--cgroup", flag, c.ID, "/bin/cat", "/proc/self/cgroup"); !strings.Contains(got, c.ID+"/sub\n") {
		t.Errorf("cgroups of the process:\n%swant sub", got)
	}
	for _, flag := range []string{"none", "nosuchcontroller:sub"} {
		if res := c.Exec("--cgroup", flag, c.ID, "/bin/true"); res.Code != 255 {
			t.Errorf("exec --cgroup %s: exit %d, want 255", flag, res.Code)
		}
	}
}

func TestExecCPUAffinity(t *testing.T) {
	r := New(t)
	ZboxOnlyUnless(t, r.Has("create", "--pidfd-socket"), "runc has process.execCPUAffinity since 1.3")
	all := r.RunProbe(NewBundle(t)).Affinity
	last := all[len(all)-1]
	c := r.Start(NewBundle(t, Sleep, func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Final: strconv.Itoa(last)} }))
	if seen := c.Probe(); !slices.Equal(seen.Affinity, []int{last}) {
		t.Errorf("processors %v, want the configuration's final one, %d", seen.Affinity, last)
	}
	file := filepath.Join(t.TempDir(), "process.json")
	for affinity, want := range map[specs.CPUAffinity][]int{
		{Initial: strconv.Itoa(last), Final: strconv.Itoa(all[0])}: all[:1], {Final: strconv.Itoa(last)}: {last},
	} {
		text, err := json.Marshal(specs.Process{Args: []string{"/bin/probe"}, Cwd: "/", Env: []string{"PATH=/bin"}, ExecCPUAffinity: &affinity})
		if err != nil {
			t.Fatal(err)
		}
		writeText(t, file, string(text))
		if seen := decodeReport(t, c.Must("exec", "--process", file, c.ID)); !slices.Equal(seen.Affinity, want) {
			t.Errorf("%+v: processors %v, want %v", affinity, seen.Affinity, want)
		}
	}
}

func TestExecLabelsWithoutTheirModulesAreRefused(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/security/apparmor"); err == nil {
		t.Skip("AppArmor is here: TestExecAppArmorFlag tests it")
	}
	r := New(t)
	c := running(t, r)
	for _, flag := range []string{"--apparmor", "--process-label"} {
		if res := c.Exec(flag, "x:y:z", c.ID, "/bin/true"); res.Code != 255 {
			t.Errorf("exec %s: exit %d, want 255; stderr %s", flag, res.Code, res.Stderr)
		}
	}
}
