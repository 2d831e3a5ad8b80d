package integration

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

//go:embed v2view.sh
var v2view string

// Main is the TestMain of every package of integration tests. It refuses to run without root instead of skipping,
// enters the cgroup v2 view when V2VIEW=1 asks for it, and adopts orphans so that none escapes the leak check.
func Main(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "integration tests need root: run them with sudo")
		os.Exit(1)
	}
	if _, err := os.Stat(runtimePath()); err != nil {
		fmt.Fprintf(os.Stderr, "runtime to test: %v (run `make build`, or set RUNTIME)\n", err)
		os.Exit(1)
	}
	if os.Getenv("V2VIEW") == "1" {
		os.Exit(enterV2View())
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintf(os.Stderr, "adopting orphans: %v\n", err)
		os.Exit(1)
	}
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "zbox-integration-")
	if err != nil {
		fmt.Fprintf(os.Stderr, "making the work directory: %v\n", err)
		return 1
	}
	defer os.RemoveAll(dir)
	probe := filepath.Join(dir, "probe")
	if err := BuildProgram("probe", probe); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := makeBase(filepath.Join(dir, "rootfs"), probe); err != nil {
		fmt.Fprintf(os.Stderr, "making the root filesystem: %v\n", err)
		return 1
	}
	return m.Run()
}

// BuildProgram puts a program of the tests, named by its package below this one, at path. Where there is no Go it is taken from
// the directory PROGRAMS.
func BuildProgram(name, path string) error {
	if dir := os.Getenv("PROGRAMS"); dir != "" {
		program, err := os.ReadFile(filepath.Join(dir, filepath.Base(name)))
		if err != nil {
			return fmt.Errorf("finding the program %s: %w", name, err)
		}
		return os.WriteFile(path, program, 0o755)
	}
	build := exec.Command("go", "build", "-trimpath", "-o", path, "github.com/bxrne/zbox/tests/integration/"+name)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", name, err, out)
	}
	return nil
}

// enterV2View runs this test binary again where cgroup v2 is all there is, and returns its exit code.
func enterV2View() int {
	args := append([]string{"-m", "--propagation", "private", "sh", "-c", v2view, "sh", "--unshared"}, os.Args...)
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(os.Environ(), "V2VIEW=entered")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "tests in the cgroup v2 view: %v\n", err)
		return 1
	}
	return 0
}

// CgroupV2 reports whether the unified hierarchy is the one mounted at /sys/fs/cgroup.
func CgroupV2() bool {
	var st unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// V1Only skips a test of the version 1 controllers in the version 2 view.
func V1Only(t *testing.T) {
	t.Helper()
	if CgroupV2() {
		t.Skip("needs cgroup v1 controllers; this is the v2 view")
	}
}

// NeedsControllers skips a test of limits in the version 2 view, which has no controllers here. Where cgroup v2 is all there is, it has.
func NeedsControllers(t *testing.T) {
	t.Helper()
	if !CgroupV2() {
		return
	}
	if names, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err != nil || !strings.Contains(string(names), "memory") {
		t.Skip("needs cgroup controllers; this is the v2 view")
	}
}

// V2Only skips a test of the version 2 interface on the hybrid hierarchy.
func V2Only(t *testing.T) {
	t.Helper()
	if !CgroupV2() {
		t.Skip("needs cgroup v2; runs in the v2 view")
	}
}

// ZboxOnly skips a test of what zbox has and the runtime under test need not have.
func ZboxOnly(t *testing.T, reason string) {
	t.Helper()
	if !IsZbox() {
		t.Skipf("zbox only: %s", reason)
	}
}

// IsZbox reports whether the runtime under test is zbox. It is asked, because a zbox of another name would have most tests skipped.
var IsZbox = sync.OnceValue(func() bool {
	out, err := exec.Command(runtimePath(), "--version").Output()
	if err != nil {
		panic(fmt.Sprintf("%s --version: %v", runtimePath(), err))
	}
	return strings.HasPrefix(string(out), "zbox ")
})

func runtimePath() string {
	if path := os.Getenv("RUNTIME"); path != "" {
		return path
	}
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "bin", "zbox")
}

// ZboxOnlyUnless is ZboxOnly for what other runtimes may have in newer versions.
func ZboxOnlyUnless(t *testing.T, has bool, reason string) {
	t.Helper()
	if !has {
		ZboxOnly(t, reason)
	}
}
