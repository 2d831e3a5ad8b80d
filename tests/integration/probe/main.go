// Command probe is the process of the integration tests' containers: it prints as JSON what it sees of itself.
//
// The debug settings keep the Go runtime from opening the cgroup's cpu.max, which would show up among the descriptors.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration/report"
)

func main() {
	runtime.LockOSThread()
	r := report.Report{FDs: descriptors()} // first: what follows opens files
	r.Args, r.Env = os.Args, os.Environ()
	identity(&r)
	status(&r)
	limits(&r)
	scheduling(&r)
	surroundings(&r)
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func descriptors() map[int]string {
	fds := map[int]string{}
	buf := make([]byte, 4096)
	for fd := range 1024 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			continue
		}
		n, err := unix.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd), buf)
		if err != nil {
			fds[fd] = err.Error()
			continue
		}
		fds[fd] = string(buf[:n])
	}
	return fds
}

func identity(r *report.Report) {
	r.Cwd, _ = unix.Getwd()
	r.Pid = os.Getpid()
	r.Sid, _ = unix.Getsid(0)
	r.Pgid, _ = unix.Getpgid(0)
	r.Groups, _ = unix.Getgroups()
	r.Umask = unix.Umask(0)
	unix.Umask(r.Umask)
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		r.Hostname, r.Domainname = unix.ByteSliceToString(uts.Nodename[:]), unix.ByteSliceToString(uts.Domainname[:])
	}
	stat, _ := os.ReadFile("/proc/self/stat")
	if i := bytes.LastIndexByte(stat, ')'); i > 0 {
		if fields := strings.Fields(string(stat[i+1:])); len(fields) > 4 {
			r.TTY = fields[4]
		}
	}
	if ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ); err == nil {
		r.Columns, r.Rows = int(ws.Col), int(ws.Row)
	}
}

// status reads the locked thread's own entry: capabilities are per thread.
func status(r *report.Report) {
	text, _ := os.ReadFile("/proc/thread-self/status")
	r.Caps = map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Uid":
			r.UID = numbers(value)
		case "Gid":
			r.GID = numbers(value)
		case "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
			r.Caps[key[3:]] = strings.TrimLeft(value, "0")
		case "NoNewPrivs":
			r.NoNewPrivs, _ = strconv.Atoi(value)
		case "Seccomp":
			r.Seccomp, _ = strconv.Atoi(value)
		}
	}
	adj, _ := os.ReadFile("/proc/self/oom_score_adj")
	r.OOMScoreAdj, _ = strconv.Atoi(strings.TrimSpace(string(adj)))
}

func numbers(text string) []int {
	var out []int
	for _, field := range strings.Fields(text) {
		n, _ := strconv.Atoi(field)
		out = append(out, n)
	}
	return out
}

// limits reads the resource limits. The Go runtime has raised its soft NOFILE limit to the hard one by now.
func limits(r *report.Report) {
	r.Rlimits = map[string][2]uint64{}
	for name, number := range map[string]int{
		"RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_DATA": unix.RLIMIT_DATA, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE,
		"RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_NPROC": unix.RLIMIT_NPROC,
		"RLIMIT_STACK": unix.RLIMIT_STACK,
	} {
		var l unix.Rlimit
		if unix.Prlimit(0, number, nil, &l) == nil {
			r.Rlimits[name] = [2]uint64{l.Cur, l.Max}
		}
	}
}

func scheduling(r *report.Report) {
	if attr, err := unix.SchedGetAttr(0, 0); err == nil {
		r.Policy, r.Nice, r.RTPriority = int(attr.Policy), int(attr.Nice), int(attr.Priority)
	}
	const ioprioWhoProcess = 1
	if prio, _, errno := unix.RawSyscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, 0, 0); errno == 0 {
		r.IOPriority = int(prio)
	}
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) == nil {
		for cpu := range 1024 {
			if set.IsSet(cpu) {
				r.Affinity = append(r.Affinity, cpu)
			}
		}
	}
	if p, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0); errno == 0 {
		r.Personality = uint64(p)
	}
	var mode int32
	if _, _, errno := unix.RawSyscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&mode)), 0, 0, 0, 0, 0); errno == 0 {
		r.MemPolicy = int(mode)
	}
}

func surroundings(r *report.Report) {
	r.Namespaces = map[string]string{}
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
		r.Namespaces[kind], _ = os.Readlink("/proc/self/ns/" + kind)
	}
	text, _ := os.ReadFile("/proc/self/mountinfo")
	r.Mounts = strings.Split(strings.TrimSpace(string(text)), "\n")
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) == nil {
		r.Monotonic = ts.Sec
	}
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) == nil {
		r.Boottime = ts.Sec
	}
	const sessionKeyring = -3
	if key, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, sessionKeyring); err == nil {
		r.SessionKey = key
	}
}
