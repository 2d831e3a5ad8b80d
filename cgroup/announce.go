package cgroup

import (
	"os"
	"strconv"
)

// announceMove makes the kernel ready to move a process to another cgroup soon, and takes as long as that would. For the first move in a while
// the kernel waits for an RCU grace period, 5 to 30 ms with all of the machine's cgroups locked; for moves within the next grace period
// it does not (cgroup_threadgroup_rwsem in kernel/cgroup/cgroup.c, kernel/rcu/sync.c). systemd's move of init into its scope is such a
// first one, and most of what a scope takes.
//
// Moving a process that cannot be there moves nothing, but waits. Since Linux 6.18, which looks for the process first, it does neither.
func announceMove(dir string) {
	const nobody = 1 << 30 // above PID_MAX_LIMIT (include/linux/threads.h)
	f, err := os.OpenFile(dir+"/cgroup.procs", os.O_WRONLY, 0)
	if err != nil {
		return // without privileges: then the move takes its time
	}
	defer f.Close()
	_, _ = f.WriteString(strconv.Itoa(nobody)) // ESRCH
}
