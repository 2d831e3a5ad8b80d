package libzbox

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hasWaiter reports whether somebody waits for a flock(2) of the inode (proc_locks(5)).
func hasWaiter(t *testing.T, ino uint64) bool {
	t.Helper()
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(locks)) {
		if strings.Contains(line, "-> FLOCK") && strings.Contains(line, ":"+strconv.FormatUint(ino, 10)+" ") {
			return true
		}
	}
	return false
}

// flockProcess is a process that holds the lock of a directory until it is killed.
func flockProcess(t *testing.T, dir string) processID {
	t.Helper()
	p := startProcess(t, exec.Command("flock", "--no-fork", dir, "sleep", "1000"))
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		comm, _ := os.ReadFile("/proc/" + strconv.Itoa(p.Pid) + "/comm")
		if bytes.Equal(comm, []byte("sleep\n")) {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatal("flock(1) does not get the lock")
		}
	}
}
