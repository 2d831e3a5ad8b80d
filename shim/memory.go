package shim

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// trimDelay is how long the shim must have had nothing to do before it gives memory back, trimPeriod how often it does so again: the
// collector, which containerd's library runs every 30 seconds, touches much of the program.
const (
	trimDelay  = time.Second
	trimPeriod = 30 * time.Second
)

// A trimmer gives back the memory that a shim needs to make containers: it waits far longer than it works, and there are as many shims as
// pods.
type trimmer struct {
	timer *time.Timer
}

func newTrimmer() *trimmer {
	t := &trimmer{}
	t.timer = time.AfterFunc(trimPeriod, func() {
		trim()
		t.timer.Reset(trimPeriod)
	})
	return t
}

// worked puts the next trim off.
func (t *trimmer) worked() { t.timer.Reset(trimDelay) }

// trim collects garbage, and takes the program's pages out of the address space. They stay in the page cache, from which those that are
// needed come back; with large folios the kernel maps all of the program at the first touch.
func trim() {
	debug.FreeOSMemory()
	mappings, err := cleanMappings("/proc/self/smaps")
	if err != nil {
		return // nothing depends on it
	}
	for _, m := range mappings {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.size, unix.MADV_DONTNEED)
	}
}

type mapping struct {
	start, size uintptr
}

// cleanMappings are those mappings of files that hold nothing but what the files hold: read-only, and without a page of their own (a
// relocated one is lost by MADV_DONTNEED).
func cleanMappings(smaps string) ([]mapping, error) {
	f, err := os.Open(smaps)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []mapping
	var last mapping
	var readOnly bool
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		var end uintptr
		switch {
		case len(fields) >= 5 && strings.Contains(fields[0], "-"):
			if _, err := fmt.Sscanf(fields[0], "%x-%x", &last.start, &end); err != nil {
				return nil, fmt.Errorf("%s: %w", smaps, err)
			}
			last.size = end - last.start
			readOnly = len(fields) == 6 && strings.HasPrefix(fields[5], "/") && fields[1][1] == '-'
		case readOnly && len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0":
			found = append(found, last)
		}
	}
	return found, nil
}
