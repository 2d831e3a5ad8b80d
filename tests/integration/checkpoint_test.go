package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// checkpoint saves a container that is deleted with it.
func (c *Container) checkpoint(t *testing.T, flags ...string) (image string) {
	t.Helper()
	image = filepath.Join(t.TempDir(), "image")
	c.Must(append(append([]string{"checkpoint", "--image-path", image}, flags...), c.ID)...)
	if !slices.Contains(flags, "--leave-running") {
		c.WaitStopped() // its pid is free again only then
	}
	return image
}

// refuseRestore fails the test unless the image is not restored, for the reasons in texts.
func (r *Runtime) refuseRestore(b *Bundle, image string, texts ...string) (id string, _ Result) {
	r.t.Helper()
	id = r.ID("refused" + strconv.Itoa(len(r.ids)))
	b.PlaceCgroup(id)
	return id, r.Refuse(texts, "restore", "-d", "--bundle", b.Dir, "--image-path", image, id)
}

// next checks that what a restored container counts follows on what it had counted before.
func next(t *testing.T, before, after []string) {
	t.Helper()
	last, err := strconv.Atoi(before[len(before)-1])
	if err != nil {
		t.Fatal(err)
	}
	if want := strconv.Itoa(last + 1); after[0] != want {
		t.Errorf("it goes on with %s, want %s", after[0], want)
	}
}

func TestRestoredContainerGoesOnWhereItWas(t *testing.T) {
	NeedsCriu(t)
	for name, on := range map[string]func(*testing.T) *Runtime{
		"cgroupfs": New, "systemd": func(t *testing.T) *Runtime { return New(t).OnSystemd() },
	} {
		t.Run(name, func(t *testing.T) {
			r := on(t)
			limit := int64(200 << 20)
			b := NewBundle(t, Counting, func(s *specs.Spec) { s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit} })
			c := r.Start(b)
			c.Counted(3)
			image := c.checkpoint(t)
			r.Refuse([]string{"container does not exist"}, "state", c.ID)
			before := strings.Fields(c.Output())

			again := r.Restore(b, image)
			next(t, before, again.Counted(3))
			if s := again.State(); s.Status != "running" || s.Pid != again.Pid {
				t.Errorf("state: %+v", s)
			}
			if n := again.Must("exec", again.ID, "/bin/cat", "/dev/shm/n"); !strings.HasPrefix(n, strings.Join(before, "\n")+"\n") {
				t.Errorf("the file in memory has %q, want what was counted before, %q, and more", n, before)
			}
			if max, err := os.ReadFile(filepath.Join(again.CgroupDir(), "memory.max")); err != nil || strings.TrimSpace(string(max)) != strconv.FormatInt(limit, 10) {
				t.Errorf("memory.max %q, %v", max, err)
			}
			r.Must("pause", again.ID)
			r.Must("resume", again.ID)
			r.Must("kill", again.ID, "KILL")
			if ws := again.WaitStopped(); ws.Signal() != unix.SIGKILL {
				t.Errorf("it ended with %v", ws)
			}
			again.Delete()
		})
	}
}

func TestCheckpointCanLeaveTheContainerRunning(t *testing.T) {
	NeedsCriu(t)
	r := New(t)
	b := NewBundle(t, Counting)
	c := r.Start(b)
	c.Counted(2)
	image := c.checkpoint(t, "--leave-running")
	if s := c.State(); s.Status != "running" {
		t.Errorf("status %s", s.Status)
	}
	c.Counted(len(strings.Fields(c.Output())) + 2)
	b.Spec.Linux.CgroupsPath = ""
	b.Change()
	r.Restore(b, image).Counted(2)
}

func TestPausedContainerIsCheckpointed(t *testing.T) {
	NeedsCriu(t)
	r := New(t)
	b := NewBundle(t, Counting)
	c := r.Start(b)
	c.Counted(2)
	r.Must("pause", c.ID)
	image := c.checkpoint(t, "--leave-running")
	if s := c.State(); s.Status != "paused" {
		t.Errorf("status %s behind a checkpoint, want paused", s.Status)
	}
	before := strings.Fields(c.Output())
	c.Must("checkpoint", "--image-path", image, c.ID)
	c.WaitStopped()
	next(t, before, r.Restore(b, image).Counted(2))
}

func TestMemoryIsSavedInSteps(t *testing.T) {
	NeedsCriu(t)
	r := New(t)
	b := NewBundle(t, Counting)
	c := r.Start(b)
	c.Counted(2)
	dir := t.TempDir()
	c.Must("checkpoint", "--pre-dump", "--image-path", filepath.Join(dir, "first"), c.ID)
	c.Counted(len(strings.Fields(c.Output())) + 2)
	c.Must("checkpoint", "--image-path", filepath.Join(dir, "second"), "--parent-path", "../first", "--work-path", filepath.Join(dir, "work"), c.ID)
	c.WaitStopped()
	if log, err := os.ReadFile(filepath.Join(dir, "work", "dump.log")); err != nil || len(log) == 0 {
		t.Errorf("the log: %v", err)
	}
	next(t, strings.Fields(c.Output()), r.Restore(b, filepath.Join(dir, "second")).Counted(2))
}

func TestRestoreInTheForegroundReturnsTheExitCode(t *testing.T) {
	NeedsCriu(t)
	r := New(t)
	dir := bindSource(t)
	b := NewBundle(t, Shell("until [ -e /mnt/end ]; do sleep 0.05; done; echo ended; exit 7"),
		Mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: []string{"rbind", "ro"}}))
	image := r.Start(b).checkpoint(t)
	if err := os.WriteFile(filepath.Join(dir, "end"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	id := r.ID("again")
	res := r.Do("restore", "--bundle", b.Dir, "--image-path", image, id)
	if res.Code != 7 || res.Stdout != "ended\n" {
		t.Errorf("exit %d, want 7: %q %q", res.Code, res.Stdout, res.Stderr)
	}
	r.Refuse([]string{"container does not exist"}, "state", id)
}

func TestTerminalIsRestored(t *testing.T) {
	NeedsCriu(t)
	r := New(t)
	path, receive := ConsoleSocket(t)
	b := NewBundle(t, withTerminal, Shell("echo ready; while read line; do echo got $line; done"))
	c := r.Start(b, "--console-socket", path)
	receive().Expect("ready")
	image := c.checkpoint(t)
	path, receive = ConsoleSocket(t)
	r.Restore(b, image, "--console-socket", path)
	term := receive()
	term.Send("hello\n")
	term.Expect("got hello")
}

// The mounts of a bundle come anew: also one with another source, in a root file system without the mount points.
func TestMountsAreRestoredFromTheConfiguration(t *testing.T) {
	NeedsCriu(t)
	r := New(t)
	one, two, file := bindSource(t), bindSource(t), filepath.Join(bindSource(t), "file")
	for name, text := range map[string]string{filepath.Join(one, "name"): "one", filepath.Join(two, "name"): "two", file: "file"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	below := filepath.Join(one, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", below, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(below, unix.MNT_DETACH) })
	bind := func(source, destination string, options ...string) specs.Mount {
		return specs.Mount{Source: source, Destination: destination, Type: "bind", Options: append([]string{"rbind"}, options...)}
	}
	b := NewBundle(t, Sleep, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, bind(one, "/data/one"), bind(two, "/data/one/two", "ro"), bind(file, "/etc/given", "ro"),
			specs.Mount{Destination: "/scratch", Type: "tmpfs", Source: "tmpfs"}, bind(two, "/scratch/two"))
		s.Root.Readonly = true
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/etc/passwd", "/home")
	})
	c := r.Start(b)
	const look = `cat /data/one/name /data/one/two/name /etc/given /scratch/two/name /scratch/own 2>&1; cat /etc/passwd | wc -c; ls /home | wc -l
		for d in / /data/one /data/one/below /data/one/two /etc/given /scratch/two /etc/passwd /home /proc/sys/kernel/hostname; do
			(if [ -d $d ]; then touch $d/x; else echo x > $d; fi) 2>/dev/null && echo wrote $d; done; grep -c . /proc/self/mountinfo`
	c.Must("exec", c.ID, "/bin/sh", "-c", "echo own > /scratch/own")
	want := c.Must("exec", c.ID, "/bin/sh", "-c", look)
	image := c.checkpoint(t)
	for _, gone := range []string{"data", "scratch", "etc/given", "dev", "sys"} {
		if err := os.RemoveAll(b.Rootfs(gone)); err != nil {
			t.Fatal(err)
		}
	}
	again := r.Restore(b, image)
	if got := again.Must("exec", again.ID, "/bin/sh", "-c", look); got != want {
		t.Errorf("it sees\n%s\nwant\n%s", got, want)
	}
	if text := hostMounts(t, b.Dir); text != "" {
		t.Errorf("mounts of the host: %s", text)
	}
}

func hostMounts(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, dir) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

func TestNamespacesByPathAreThoseOfTheConfiguration(t *testing.T) {
	NeedsCriu(t)
	r := New(t)
	owner := r.Start(NewBundle(t, Shell("while :; do sleep 0.05; done"))) // an init that reaps what it inherits, whose pids are needed again
	for _, kind := range []specs.LinuxNamespaceType{specs.NetworkNamespace, specs.PIDNamespace, specs.IPCNamespace, specs.UTSNamespace} {
		t.Run(string(kind), func(t *testing.T) {
			path := fmt.Sprintf("/proc/%d/ns/%s", owner.Pid, namespaceFiles[kind])
			b := NewBundle(t, Counting, WithoutNamespace(kind), WithNamespace(kind, path))
			if kind == specs.UTSNamespace {
				b.Change(func(s *specs.Spec) { s.Hostname = "" })
			}
			c := r.Start(b)
			c.Counted(2)
			again := r.Restore(b, c.checkpoint(t))
			again.Counted(2)
			got, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", again.Pid, namespaceFiles[kind]))
			if want, _ := os.Readlink(path); err != nil || got != want {
				t.Errorf("namespace %s, %v, want %s", got, err, want)
			}
			again.Kill()
			again.Delete()
		})
	}
}

// What confines a process before it is saved confines it behind the restore; no_new_privs is what CRIU 3.17 forgets.
func TestRestoredProcessIsConfinedAsBefore(t *testing.T) {
	NeedsCriu(t)
	NeedsAppArmor(t)
	r := New(t)
	loadProfile(t, r.Marker)
	b := NewBundle(t, Sleep, withSeccomp(rule(specs.ActErrno, nil, nil, "mkdir", "mkdirat")), func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{5, 6}}
		s.Process.ApparmorProfile = r.Marker
		s.Process.Rlimits = append(s.Process.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_CORE", Soft: 1, Hard: 2})
		adj := 77
		s.Process.OOMScoreAdj = &adj
	})
	c := r.Start(b)
	want := confinement(t, c.Pid)
	again := r.Restore(b, c.checkpoint(t))
	if got := confinement(t, again.Pid); got != want {
		t.Errorf("it has\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(want, "NoNewPrivs:\t1") || !strings.Contains(want, "Seccomp:\t2") || !strings.Contains(want, r.Marker+" (enforce)") {
		t.Errorf("it had %s", want)
	}
}

// A process that has ended has no namespaces and no filter; CRIU restores it all the same, for its parent to ask about.
func TestZombieIsRestored(t *testing.T) {
	NeedsCriu(t)
	r := New(t)
	b := NewBundle(t, Shell("exit 3 & exec sleep 1000"), withSeccomp(rule(specs.ActErrno, nil, nil, "mkdir", "mkdirat")))
	zombie := func(c *Container) bool {
		return strings.Contains(c.Must("exec", c.ID, "/bin/sh", "-c", "cat /proc/[0-9]*/stat"), "(sh) Z 1 ")
	}
	c := r.Start(b)
	Eventually(t, "init has a child that has ended", func() bool { return zombie(c) })
	if again := r.Restore(b, c.checkpoint(t)); !zombie(again) {
		t.Error("init has no child that has ended any more")
	}
}

// confinement is all that limits a process.
func confinement(t *testing.T, pid int) string {
	t.Helper()
	var seen []string
	for _, file := range []string{"status", "limits", "attr/current", "oom_score_adj", "uid_map"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			key, _, _ := strings.Cut(line, ":")
			if file != "status" || slices.Contains([]string{"Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Umask"}, key) || strings.HasPrefix(key, "Cap") {
				seen = append(seen, line)
			}
		}
	}
	return strings.Join(seen, "")
}

// The image decides what the processes are, not what they may do.
func TestImageThatAsksForMoreIsNotRestored(t *testing.T) {
	NeedsCriu(t)
	ZboxOnly(t, "others restore what the image says")
	NeedsAppArmor(t)
	r := New(t)
	loadProfile(t, r.Marker)
	for _, test := range []struct {
		name, reason  string
		saved, strict func(*specs.Spec)
	}{
		{
			"capabilities", "it has capabilities that process.capabilities does not list",
			func(s *specs.Spec) {
				caps := []string{"CAP_SYS_ADMIN", "CAP_KILL"}
				s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
			},
			func(s *specs.Spec) {
				caps := []string{"CAP_KILL"}
				s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
			},
		},
		{
			"no filter", "it has no seccomp filter, which linux.seccomp asks for",
			func(*specs.Spec) {}, withSeccomp(rule(specs.ActErrno, nil, nil, "mkdir")),
		},
		{
			"namespace of the host", "is in the uts namespace of the host",
			func(s *specs.Spec) { WithoutNamespace(specs.UTSNamespace)(s); s.Hostname = "" }, WithNamespace(specs.UTSNamespace, ""),
		},
		{
			"pids of the host", "is in the pid namespace of the host",
			WithoutNamespace(specs.PIDNamespace), WithNamespace(specs.PIDNamespace, ""),
		},
		{
			"no profile", "has no AppArmor profile, which process.apparmorProfile asks for",
			func(*specs.Spec) {}, func(s *specs.Spec) { s.Process.ApparmorProfile = r.Marker },
		},
		{
			"no mask", "/etc/passwd is not masked",
			func(*specs.Spec) {}, func(s *specs.Spec) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/etc/passwd") },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := NewBundle(t, Counting, test.saved)
			c := r.Start(b)
			c.Counted(2)
			image := c.checkpoint(t)
			before := c.Output()
			defer keepReaping()() // orphans of the host's pid namespace, whose pids are needed again
			b.Change(test.strict)
			id, res := r.refuseRestore(b, image, "the image was not restored, it asks for more than config.json", test.reason)
			if res.Stdout != "" {
				t.Errorf("it has run: %q behind %q", res.Stdout, before)
			}
			r.Refuse([]string{"container does not exist"}, "state", id)
		})
	}
}

// The root file system may have changed since: links at its mount points lead nowhere on the host, as for a new container.
func TestLinksAtMountPointsOfARestoreReachNothingOfTheHost(t *testing.T) {
	NeedsCriu(t)
	for name, prepare := range map[string]func(t *testing.T, b *Bundle, victim string){
		"nowhere": func(*testing.T, *Bundle, string) {},
		"to what the root has, too": func(t *testing.T, b *Bundle, victim string) {
			if err := os.MkdirAll(b.Rootfs(victim), 0o755); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(t)
			dir, victim := bindSource(t), t.TempDir()
			if err := os.WriteFile(filepath.Join(victim, "secret"), []byte("secret"), 0o644); err != nil {
				t.Fatal(err)
			}
			b := NewBundle(t, Counting, Mount(
				specs.Mount{Destination: "/linked", Type: "bind", Source: dir, Options: []string{"rbind"}},
				specs.Mount{Destination: "/below/given", Type: "bind", Source: filepath.Join(dir, "file"), Options: []string{"rbind", "ro"}},
			))
			c := r.Start(b)
			c.Counted(1)
			image := c.checkpoint(t)
			for _, name := range []string{"linked", "below"} {
				if err := os.RemoveAll(b.Rootfs(name)); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(victim, b.Rootfs(name)); err != nil {
					t.Fatal(err)
				}
			}
			prepare(t, b, victim)
			id := r.ID("linked")
			b.PlaceCgroup(id)
			res := r.Do("restore", "--detach", "--bundle", b.Dir, "--image-path", image, id)
			t.Logf("restore: exit %d: %s", res.Code, res.Stderr)
			if text := r.Do("exec", id, "/bin/cat", "/linked/secret", "/below/secret").Stdout; text != "" {
				t.Errorf("it reads the host's %q", text)
			}
			entries, err := os.ReadDir(victim)
			if err != nil || len(entries) != 1 {
				t.Errorf("the host's directory has %v, %v", entries, err)
			}
			if text := hostMounts(t, victim); text != "" {
				t.Errorf("mounts of the host: %s", text)
			}
		})
	}
}

func TestReadOnlyMountOfTheConfigurationIsSoWhateverTheImageSays(t *testing.T) {
	NeedsCriu(t)
	ZboxOnly(t, "runc's is as the image says")
	r := New(t)
	dir := bindSource(t)
	b := NewBundle(t, Counting, Mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: []string{"rbind"}}))
	c := r.Start(b)
	c.Counted(1)
	image := c.checkpoint(t)
	b.Change(func(s *specs.Spec) { s.Mounts[len(s.Mounts)-1].Options = []string{"rbind", "ro"} })
	again := r.Restore(b, image)
	if res := again.Exec(again.ID, "/bin/touch", "/mnt/new"); res.Code == 0 || !strings.Contains(res.Stderr, "Read-only file system") {
		t.Errorf("touch: exit %d: %s", res.Code, res.Stderr)
	}
}

func TestHooksOfTheRuntimeRunAtRestore(t *testing.T) {
	NeedsCriu(t)
	r := New(t)
	l := newHookLog(t)
	b := NewBundle(t, Counting, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{
			Prestart:        []specs.Hook{l.hook("prestart", "")},
			CreateRuntime:   []specs.Hook{l.hook("createRuntime", `[ -d /proc/$(sed 's/.*"pid":\([0-9]*\).*/\1/')/ns ] || exit 1`)},
			CreateContainer: []specs.Hook{{Path: "/bin/true"}},
			Poststart:       []specs.Hook{l.hook("poststart", "")},
			Poststop:        []specs.Hook{l.hook("poststop", "")},
		}
	})
	c := r.Start(b)
	c.Counted(2)
	image := c.checkpoint(t)
	again := r.Restore(b, image)
	again.Counted(1)
	if got, want := l.lines(), []string{"prestart", "createRuntime", "poststart", "poststop", "prestart", "createRuntime", "poststart"}; !slices.Equal(got, want) {
		t.Errorf("hooks %v, want %v", got, want)
	}
	again.Kill()
	again.Delete()
	b.Change(func(s *specs.Spec) { s.Hooks.CreateRuntime = []specs.Hook{{Path: "/bin/false"}} })
	r.Refuse([]string{"hooks.createRuntime[0]"}, "restore", "-d", "--bundle", b.Dir, "--image-path", image, r.ID("hook"))
}

func TestUserNamespaceIsRestored(t *testing.T) {
	NeedsCriu(t)
	r := New(t)
	b := NewBundle(t, WithUserNamespace, Shell(`exec >/dev/null 2>&1; i=0; while :; do i=$((i+1)); echo $i > /dev/shm/n; sleep 0.05; done`))
	counted := func(c *Container) int {
		n := 0
		Eventually(t, "it has counted", func() bool {
			n, _ = strconv.Atoi(strings.TrimSpace(c.Exec(c.ID, "/bin/cat", "/dev/shm/n").Stdout))
			return n > 2
		})
		return n
	}
	c := r.Start(b)
	before := counted(c)
	dir := t.TempDir()
	c.Must("checkpoint", "--pre-dump", "--image-path", filepath.Join(dir, "pre"), c.ID)
	c.Must("checkpoint", "--image-path", filepath.Join(dir, "image"), "--parent-path", "../pre", c.ID)
	c.WaitStopped()
	again := r.Restore(b, filepath.Join(dir, "image"))
	first := counted(again)
	if first < before {
		t.Errorf("it goes on with %d, it was at %d", first, before)
	}
	Eventually(t, "it counts on", func() bool { return counted(again) > first })
	if seen := again.Probe(); seen.UID[0] != 0 {
		t.Errorf("uid %v", seen.UID)
	}
	if text := confinement(t, again.Pid); !strings.Contains(text, "100000") {
		t.Errorf("no map: %s", text)
	}
	image := again.checkpoint(t)
	b.Change(func(s *specs.Spec) {
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}}
	})
	r.refuseRestore(b, image, "its uid_map is [{0 100000 65536}], not that of linux.uidMappings")
}

func TestCheckpointErrorsSayWhatIsWrong(t *testing.T) {
	NeedsCriu(t)
	ZboxOnly(t, "the words are zbox's")
	r := New(t)
	b := NewBundle(t, Counting)
	image := filepath.Join(t.TempDir(), "image")
	created := r.Create(b)
	r.Refuse([]string{"cannot checkpoint a container in the created state"}, "checkpoint", "--image-path", image, created.ID)
	r.Must("delete", created.ID)
	c := r.Start(b)
	c.Counted(1)
	r.Refuse([]string{"container does not exist"}, "checkpoint", "nobody")
	r.Refuse([]string{"stat /nowhere/criu: no such file or directory; checkpoints need CRIU (the package criu)"}, "--criu", "/nowhere/criu", "checkpoint", "--image-path", image, c.ID)
	r.Refuse([]string{`--manage-cgroups-mode: "hard"`}, "checkpoint", "--manage-cgroups-mode", "hard", "--image-path", image, c.ID)
	r.Refuse([]string{`--empty-ns: there is no "net" namespace`}, "checkpoint", "--empty-ns", "net", "--image-path", image, c.ID)
	r.Refuse([]string{"--parent-path: /absolute must be relative"}, "checkpoint", "--parent-path", "/absolute", "--image-path", image, c.ID)
	r.Refuse([]string{"--parent-path: stat", "no such file"}, "checkpoint", "--parent-path", "../none", "--image-path", image, c.ID)
	if err := os.Chmod(image, 0o777); err != nil {
		t.Fatal(err)
	}
	r.Refuse([]string{"--image-path: others may write to " + image + " (mode 0777)"}, "checkpoint", "--image-path", image, c.ID)
	if err := os.Chmod(image, 0o700); err != nil {
		t.Fatal(err)
	}
	victim, link := filepath.Join(t.TempDir(), "victim"), filepath.Join(image, "descriptors.json")
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	r.Refuse([]string{"writing the image: open " + link + ": too many levels of symbolic links"}, "checkpoint", "--image-path", image, c.ID)
	if s := c.State(); s.Status != "running" {
		t.Errorf("status %s behind refused checkpoints", s.Status)
	}
	r.Refuse([]string{"container with given ID already exists"}, "restore", "--bundle", b.Dir, "--image-path", image, c.ID)
	c.Kill()
	c.Delete()
	r.Refuse([]string{"--image-path: open " + image + "/none: no such file"}, "restore", "-d", "--bundle", b.Dir, "--image-path", image+"/none", r.ID("none"))
	empty := t.TempDir()
	r.Refuse([]string{"criu: ", "(" + empty + "/restore.log has the whole story)"}, "restore", "-d", "--bundle", b.Dir, "--image-path", empty, r.ID("empty"))
}

func TestRestoreWithTooLittleMemorySaysSo(t *testing.T) {
	NeedsCriu(t)
	ZboxOnly(t, "the words are zbox's")
	r := New(t)
	b := NewBundle(t, Counting)
	c := r.Start(b)
	c.Counted(1)
	image := c.checkpoint(t)
	limit := int64(256 << 10)
	b.Change(func(s *specs.Spec) { s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &limit} })
	r.refuseRestore(b, image, "out of memory, linux.resources.memory.limit is too small for CRIU")
}

// A file that the container has open and cannot have opened itself.
func TestFileOfTheHostIsNamedAsTheReason(t *testing.T) {
	NeedsCriu(t)
	ZboxOnly(t, "the words are zbox's")
	r := New(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := NewBundle(t, Sleep)
	id := r.ID("fifo")
	b.PlaceCgroup(id)
	cmd := r.Command("run", "--detach", "--bundle", b.Dir, id)
	cmd.Stdin = f
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	r.Refuse([]string{"Can't lookup mount=", "path=" + fifo, "dump.log has the whole story"}, "checkpoint", "--image-path", t.TempDir(), id)
	var s State
	if err := json.Unmarshal([]byte(r.Must("state", id)), &s); err != nil || s.Status != "running" {
		t.Errorf("status %q behind a failed checkpoint: %v", s.Status, err)
	}
}

func TestIDMappedMountIsRefusedBeforeTheCheckpoint(t *testing.T) {
	NeedsCriu(t)
	ZboxOnly(t, "runc's CRIU fails")
	r := New(t)
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}}
	b := NewBundle(t, WithUserNamespace, Sleep, Mount(specs.Mount{
		Destination: "/mnt", Type: "bind", Source: bindSource(t), Options: []string{"rbind"}, UIDMappings: ids, GIDMappings: ids,
	}))
	c := r.Start(b)
	r.Refuse([]string{"config.json: mounts[", "(/mnt): CRIU cannot restore an idmapped mount"}, "checkpoint", "--image-path", t.TempDir(), c.ID)
}

func TestConfigurationOfCriuIsThatOfTheAnnotation(t *testing.T) {
	NeedsCriu(t)
	r := New(t)
	config := filepath.Join(t.TempDir(), "criu.conf")
	log := filepath.Join(filepath.Dir(config), "own.log")
	if err := os.WriteFile(config, []byte("log-file "+log+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := NewBundle(t, Counting, func(s *specs.Spec) { s.Annotations = map[string]string{"org.criu.config": config} })
	c := r.Start(b)
	c.Counted(1)
	c.checkpoint(t)
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "Dumping finished successfully") {
		t.Errorf("the log of the file's choice: %v", err)
	}
}

func TestProgramOfCriuCanBeChosen(t *testing.T) {
	NeedsCriu(t)
	ZboxOnly(t, "runc takes the first on PATH")
	r := New(t)
	criu, err := exec.LookPath("criu")
	if err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	own := filepath.Join(filepath.Dir(trace), "own-criu")
	if err := os.WriteFile(own, []byte("#!/bin/sh\necho $* >> "+trace+"\nexec "+criu+` "$@"`+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	b := NewBundle(t, Counting)
	c := r.Start(b)
	c.Counted(1)
	image := filepath.Join(t.TempDir(), "image")
	r.Must("--criu", own, "checkpoint", "--image-path", image, c.ID)
	c.WaitStopped()
	r.Globals = append(r.Globals, "--criu", own)
	r.Restore(b, image).Counted(1)
	if text, err := os.ReadFile(trace); err != nil || string(text) != "swrk 3\nswrk 3\n" {
		t.Errorf("it was called with %q, %v", text, err)
	}
}

// killAfter starts the command and kills zbox after a time, unless it has ended by then.
func (r *Runtime) killAfter(t *testing.T, delay time.Duration, args ...string) {
	t.Helper()
	cmd := r.Command(args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(delay, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait()
}

// kill -9 of zbox while CRIU works: whatever is there by then, delete --force removes.
func TestKilledCheckpointAndRestoreLeaveNothing(t *testing.T) {
	NeedsCriu(t)
	ZboxOnly(t, "runc leaves a mount")
	outOfTmp(t)
	for _, test := range []struct {
		name  string
		on    func(*testing.T) *Runtime
		every time.Duration
	}{
		{"cgroupfs", New, 250 * time.Millisecond},
		{"systemd", func(t *testing.T) *Runtime { return New(t).OnSystemd() }, 500 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := test.on(t)
			b := NewBundle(t, Counting)
			c := r.Start(b)
			c.Counted(2)
			image := c.checkpoint(t)
			for delay := time.Duration(0); delay < time.Second; delay += test.every {
				id := r.ID("killed")
				r.placeCgroup(b, id)
				r.killAfter(t, delay, "restore", "--detach", "--bundle", b.Dir, "--image-path", image, id)
				r.removed(t, b, id)
				c := r.Start(b)
				r.killAfter(t, delay, "checkpoint", "--image-path", filepath.Join(t.TempDir(), "image"), c.ID)
				r.removed(t, b, c.ID)
			}
		})
	}
}

// outOfTmp has the test make its bundles in another place than /tmp, and checks that CRIU leaves nothing there. It must come before New.
func outOfTmp(t *testing.T) {
	t.Helper()
	t.Setenv("TMPDIR", "/var/tmp")
	left := func() []string {
		names, _ := filepath.Glob("/tmp/.criu.*") // the only error is a bad pattern
		return names
	}
	before := left()
	t.Cleanup(func() {
		if now := left(); !slices.Equal(now, before) {
			t.Errorf("CRIU has left %v in /tmp, there was %v before", now, before)
		}
	})
}

// removed deletes the container by force and checks that nothing of it is left.
func (r *Runtime) removed(t *testing.T, b *Bundle, id string) {
	t.Helper()
	if res := r.doReaping(r.Command("delete", "--force", id)); res.Code != 0 {
		t.Fatalf("delete --force: exit %d: %s", res.Code, res.Stderr)
	}
	var left []string
	Eventually(t, "nothing is left", func() bool {
		left = append(leftProcesses(), leftCgroups(id)...)
		return len(left) == 0
	})
	if text := hostMounts(t, b.Dir); text != "" {
		t.Fatalf("mounts of the host: %s", text)
	}
	if _, err := os.Stat(filepath.Join(r.Root, id)); err == nil {
		t.Fatalf("the state directory is left")
	}
}
