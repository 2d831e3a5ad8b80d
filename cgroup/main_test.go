package cgroup

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/host"
	"github.com/bxrne/zbox/host/facts"
)

// Every test runs twice: with the cgroups of the machine, and with cgroup v2 alone mounted in a mount namespace of its own. The
// second run is the same test binary, executed once more after the mounting, because opencontainers/cgroups looks at the mounts
// once per process.
const viewVariable = "ZBOX_TEST_CGROUP_VIEW"

var view string

func TestMain(m *testing.M) {
	view = os.Getenv(viewVariable)
	switch view {
	case "mounting":
		err := mountUnified()
		if err == nil {
			_ = os.Setenv(viewVariable, "v2")
			err = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
		}
		fmt.Fprintln(os.Stderr, "making the cgroup v2 view:", err)
		os.Exit(1)
	case "v2":
		os.Exit(m.Run())
	case "rootless":
		rootless(os.Args[1], os.Args[2])
		os.Exit(0)
	case "sleep", "devices", "eat": // a process to be put into cgroups
		_, _ = os.Stdin.Read(make([]byte, 1))
		inhabit(view)
		os.Exit(0)
	}
	view = "machine"
	code := m.Run()
	again := exec.Command("/proc/self/exe", os.Args[1:]...)
	again.Env = append(os.Environ(), viewVariable+"=mounting")
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	fmt.Println("--- again with cgroup v2 alone")
	if err := again.Run(); err != nil {
		fmt.Println("cgroup v2 view:", err)
		code = 1
	}
	os.Exit(code)
}

// inhabit is what the processes in the cgroups do once they are there.
func inhabit(mode string) {
	switch mode {
	case "devices":
		dir := os.Args[1]
		for _, dev := range []struct {
			name         string
			mode         uint32
			major, minor uint32
		}{{"null", unix.S_IFCHR, 1, 3}, {"pts", unix.S_IFCHR, 136, 77}, {"sda", unix.S_IFBLK, 8, 0}, {"mem", unix.S_IFCHR, 1, 1}} {
			path := filepath.Join(dir, dev.name)
			made := unix.Mknod(path, dev.mode|0o600, int(unix.Mkdev(dev.major, dev.minor)))
			fd, opened := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if opened == nil {
				_ = unix.Close(fd)
			}
			fmt.Printf("%s: mknod %v, open %v\n", dev.name, made, opened == nil || opened != unix.EPERM)
		}
	case "eat":
		memory := make([]byte, 256<<20)
		for i := range memory {
			memory[i] = 1
		}
	}
}

// mountUnified makes cgroup v2 all there is. Where the machine has it already, it keeps its options, which all mounts share.
func mountUnified() error {
	_, options, err := unifiedMount()
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Unmount(mountpoint, unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Mount("cgroup2", mountpoint, "cgroup2", 0, strings.Join(options, ","))
}

func probe(t testing.TB) facts.Cgroup {
	t.Helper()
	f, err := host.Probe()
	if err != nil {
		t.Fatal(err)
	}
	if view == "v2" && !f.Cgroup.Unified {
		t.Fatal("the view is not unified")
	}
	return f.Cgroup
}

// testID makes an id that no other test on this machine uses, and checks that nothing with it is left in the end.
func testID(t testing.TB) string {
	t.Helper()
	id := fmt.Sprintf("zboxtest-%d-%s", os.Getpid(), strings.ToLower(strings.NewReplacer("/", "-", "#", "").Replace(t.Name())))
	id = id[:min(len(id), 100)]
	t.Cleanup(func() {
		var left []string
		_ = filepath.WalkDir(mountpoint, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && strings.Contains(path, id) {
				left = append(left, path)
			}
			return nil
		})
		for _, path := range slices.Backward(left) {
			t.Errorf("cgroup %s is left", path)
			_ = os.Remove(path)
		}
	})
	return id
}

// Create is Make and Limit. When it fails, it has removed what it made, as libzbox does by its journal.
func (c *Cgroup) Create() (err error) {
	defer func() {
		if err != nil && c.saved.Driver == Cgroupfs && !c.existed {
			_ = c.Destroy() // err is what went wrong first
		}
	}()
	if err := c.Make(); err != nil {
		return err
	}
	return c.Limit()
}

// create makes a cgroup that is removed, with its processes, when the test ends.
func create(t testing.TB, cfg Config) *Cgroup {
	t.Helper()
	c := build(t, cfg)
	if err := c.Create(); err != nil {
		t.Fatal(err)
	}
	return c
}

// build is create without Create.
func build(t testing.TB, cfg Config) *Cgroup {
	t.Helper()
	if cfg.ID == "" {
		cfg.ID = testID(t)
	}
	cfg.Facts = probe(t)
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
		if err := c.Destroy(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// sleeper is a process that waits for its standard input to close. It is born in the cgroup, or joins it.
func sleeper(t testing.TB, c *Cgroup) *exec.Cmd {
	t.Helper()
	cmd, _ := inhabitant(t, c, "sleep", nil)
	return cmd
}

// inhabitant is a sleeper that does what mode says once stdin is closed.
func inhabitant(t testing.TB, c *Cgroup, mode string, out io.Writer, args ...string) (cmd *exec.Cmd, stdin io.Closer) {
	t.Helper()
	cmd = exec.Command("/proc/self/exe", args...)
	cmd.Env = []string{viewVariable + "=" + mode}
	cmd.Stdout = out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := c.Dir()
	if err != nil {
		t.Fatal(err)
	}
	if dir != nil {
		defer dir.Close()
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	if dir == nil {
		if err := c.Join(cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
	}
	return cmd, stdin
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func itoa(n int) string { return strconv.Itoa(n) }
