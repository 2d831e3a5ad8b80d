package integration

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// leakPatience is how long what ends by itself may take for it. It is short of patience, so that a leak in many tests leaves time for the others.
const leakPatience = 30 * time.Second

// CheckLeaks fails the test when anything made during it stays behind its end: processes, mounts, cgroups, network
// links, state files or descriptors. marker is the substring that everything made by the test carries in its name.
func CheckLeaks(t *testing.T, marker, stateRoot string) {
	t.Helper()
	before := descriptors()
	t.Cleanup(func() {
		// The kernel takes a network namespace apart after its last process is gone, and an orphan, such as the supervisor of a
		// sandbox in the background, ends when it gets a processor.
		left := leaks(marker, stateRoot, before)
		for deadline := time.Now().Add(leakPatience); len(left) > 0 && time.Now().Before(deadline); left = leaks(marker, stateRoot, before) {
			time.Sleep(5 * time.Millisecond)
		}
		for _, leak := range left {
			t.Errorf("left behind: %s", leak)
		}
	})
}

func leaks(marker, stateRoot string, fdsBefore map[int]string) []string {
	var found []string
	found = append(found, leftProcesses()...)
	found = append(found, leftMounts(marker)...)
	found = append(found, leftCgroups(marker)...)
	found = append(found, leftLinks()...)
	found = append(found, leftState(stateRoot)...)
	for fd, target := range descriptors() {
		if fdsBefore[fd] == "" {
			found = append(found, fmt.Sprintf("descriptor %d of the test: %s", fd, target))
		}
	}
	return found
}

// leftProcesses lists the test's living children: as the subreaper it inherits whatever a runtime orphans. Dead ones are reaped.
func leftProcesses() []string {
	var found []string
	for _, pid := range children() {
		reaped, _ := unix.Wait4(pid, nil, unix.WNOHANG, nil)
		if reaped == pid {
			continue
		}
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		found = append(found, fmt.Sprintf("process %d: %q", pid, strings.ReplaceAll(string(cmdline), "\x00", " ")))
	}
	return found
}

// Orphans lists the test's living children that have the marker on their command line.
func Orphans(marker string) []int {
	var found []int
	for _, pid := range children() {
		if cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(cmdline), marker) {
			found = append(found, pid)
		}
	}
	return found
}

// reapAdopted reaps the dead children that are not the runtime's own processes, whose starter waits for them.
func reapAdopted() {
	for _, pid := range children() {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil && exe == "" && !strings.HasPrefix(filepath.Base(runtimePath()), strings.TrimSpace(string(comm))) {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
}

// keepReaping reaps adopted processes in the background until the returned function is called.
func keepReaping() func() {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				reapAdopted()
			}
		}
	}()
	return func() {
		close(stop)
		<-done
	}
}

func children() []int { return childrenOf(os.Getpid()) }

func childrenOf(pid int) []int {
	var pids []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func leftMounts(marker string) []string {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, marker) {
			found = append(found, "mount: "+strings.TrimSpace(line))
		}
	}
	return found
}

func leftCgroups(marker string) []string {
	var found []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // a cgroup of somebody else that went away under the walk
		}
		if strings.Contains(d.Name(), marker) {
			found = append(found, "cgroup: "+path)
			return fs.SkipDir
		}
		return nil
	})
	return found
}

// leftLinks lists network links named as the tests name theirs.
func leftLinks() []string {
	var found []string
	entries, _ := os.ReadDir("/sys/class/net")
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), LinkPrefix()) {
			found = append(found, "network link: "+e.Name())
		}
	}
	return found
}

// LinkPrefix begins the name of every network link that a test makes on the host.
func LinkPrefix() string { return fmt.Sprintf("zbt%d", os.Getpid()) }

// leftState lists what is below the runtime's root, but for the cache of compiled seccomp profiles, which is to stay.
func leftState(root string) []string {
	var found []string
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		if left, err := os.ReadDir(filepath.Join(root, ".bundles")); e.Name() == ".bundles" && err == nil && len(left) == 0 {
			continue // the directory of the sandboxes' bundles stays
		}
		if left, err := filepath.Glob(filepath.Join(root, ".roots/new-*")); e.Name() == ".roots" && err == nil && len(left) == 0 {
			continue // the finished ones are kept
		}
		if !strings.Contains(e.Name(), "cache") && !strings.Contains(e.Name(), "seccomp") {
			found = append(found, "state: "+filepath.Join(root, e.Name()))
		}
	}
	return found
}

// descriptors maps every open descriptor of the test to what it is. Those that the Go runtime opens once for itself
// and keeps are left out.
func descriptors() map[int]string {
	open := map[int]string{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]" {
			continue
		}
		open[fd] = target
	}
	return open
}
