package network

import (
	"fmt"
	"os"
	"strings"
)

// A Witness tells whether the kernel will take a sandbox's network namespace away as soon as its last process has ended. TCP connections
// whose other end does not answer hold it for minutes, and with it the link.
type Witness struct {
	// The sandbox's own, which can be read when none of its processes is left.
	sockstat []*os.File
}

// newWitness opens what it reads while the sandbox's process is there. Until it is closed, it holds the namespace itself.
func newWitness(pid int) (*Witness, error) {
	w := &Witness{}
	for _, name := range []string{"sockstat", "sockstat6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, name))
		if os.IsNotExist(err) && name == "sockstat6" {
			continue // a kernel without IPv6
		}
		if err != nil {
			w.Close()
			return nil, fmt.Errorf("opening the sandbox's counters of sockets: %w", err)
		}
		w.sockstat = append(w.sockstat, f)
	}
	return w, nil
}

// idle reports whether no TCP socket is left (proc_net(5), sockstat). Those in TIME_WAIT are not counted, and hold nothing.
func (w *Witness) idle() bool {
	if w == nil {
		return false
	}
	for _, f := range w.sockstat {
		buf := make([]byte, 4096)
		n, err := f.ReadAt(buf, 0)
		if n == 0 && err != nil {
			return false
		}
		for line := range strings.Lines(string(buf[:n])) {
			f := strings.Fields(line)
			if len(f) >= 3 && (f[0] == "TCP:" || f[0] == "TCP6:") && f[2] != "0" {
				return false
			}
		}
	}
	return true
}

// Close lets go of the sandbox's network namespace. A nil Witness has nothing to close.
func (w *Witness) Close() {
	if w == nil {
		return
	}
	for _, f := range w.sockstat {
		f.Close()
	}
	w.sockstat = nil
}
