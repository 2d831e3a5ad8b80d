package cgroup

import (
	"os"
	"strconv"
	"time"
)

// Announce prepares the kernel for the move of a process into the scope. For the first move in a while the kernel waits for an RCU grace
// period, 5 to 30 ms with all of the machine's cgroups locked; for moves within the next grace period it does not
// (cgroup_threadgroup_rwsem in kernel/cgroup/cgroup.c, kernel/rcu/sync.c). systemd's move of init into its scope is such a first one, and
// most of what a scope takes.
//
// Meanwhile the kernel lets everybody wait who reads /proc/PID/cgroup: this comes behind the look at what zbox's own cgroup is.
func (d *Dialing) Announce() {
	if d != nil {
		go announceMoves(mountpoint, d.over)
	}
}

// announceMoves moves a process that cannot be there, which moves nothing, but waits; and again, so that grace periods follow each other, until
// over, or as long as a slow machine may need. Since Linux 6.18, which looks for the process first, it does nothing.
func announceMoves(dir string, over <-chan struct{}) {
	const (
		nobody = 1 << 30 // above PID_MAX_LIMIT (include/linux/threads.h)
		tries  = 10
		pause  = 10 * time.Millisecond
	)
	f, err := os.OpenFile(dir+"/cgroup.procs", os.O_WRONLY, 0)
	if err != nil {
		return // without privileges: then the move takes its time
	}
	defer f.Close()
	for range tries {
		_, _ = f.WriteString(strconv.Itoa(nobody)) // ESRCH
		select {
		case <-over:
			return
		case <-time.After(pause):
		}
	}
}
