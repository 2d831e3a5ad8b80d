package libzbox

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxHookOutput bounds what of a failing hook's output goes into the error, in bytes.
const maxHookOutput = 512

// hookPatience bounds the wait for the streams of a hook that has ended: processes that it left may keep them open.
const hookPatience = time.Second

// hookOutput is the pipe that is stdout and stderr of a hook.
type hookOutput struct {
	r, w *os.File
	// inode is the pipe's number on pipefs. Whatever the hook starts inherits the pipe, which no other process has open.
	inode uint64
	tail  tailBuffer
	done  chan struct{}
}

func newHookOutput() (*hookOutput, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making the hook's stdout: %w", err)
	}
	info, err := w.Stat()
	if err != nil {
		r.Close()
		w.Close()
		return nil, fmt.Errorf("making the hook's stdout: %w", err)
	}
	o := &hookOutput{r: r, w: w, inode: info.Sys().(*syscall.Stat_t).Ino, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		_, _ = io.Copy(&o.tail, r) // up to the end, or the deadline
	}()
	return o, nil
}

// rest returns the end of what the hook, which has ended, has written.
func (o *hookOutput) rest() string {
	o.w.Close()
	_ = o.r.SetReadDeadline(time.Now().Add(hookPatience)) // a pipe takes deadlines
	<-o.done
	return strings.TrimSpace(string(o.tail.tail))
}

func (o *hookOutput) close() {
	o.w.Close()
	o.r.Close()
}

// tailBuffer keeps the last maxHookOutput bytes that are written to it.
type tailBuffer struct{ tail []byte }

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.tail = append(b.tail, p[max(0, len(p)-maxHookOutput):]...)
	b.tail = b.tail[max(0, len(b.tail)-maxHookOutput):]
	return len(p), nil
}

// killHook ends what is left of a hook whose zbox was killed: all processes that have the hook's output open, with their descendants. A
// process that has given the output up, as daemons do, is not found and stays, as it does with other runtimes.
func (c *Container) killHook() {
	if c.j.HookOutput == 0 {
		return
	}
	// Again until there is none: one that forks while all are looked at may hide its child.
	for range hookKillRounds {
		left := processesHolding(fmt.Sprintf("pipe:[%d]", c.j.HookOutput), c.j.Worker.Start)
		if len(left) == 0 {
			return
		}
		for _, p := range left {
			_ = p.killTree() // that it has ended meanwhile is what is wanted
		}
		for _, p := range left {
			p.waitGone(killTimeout)
		}
	}
}

const hookKillRounds = 100

// processesHolding are the processes, other than ours, that were started at since (clock ticks after boot) or later and have the named
// file open.
func processesHolding(name string, since uint64) []processID {
	var all []processID
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		// Identified before its descriptors are read: a process that takes the number later is another one.
		id, err := identify(pid)
		if err == nil && id.Start >= since && holds(dir, name) {
			all = append(all, id)
		}
	}
	return all
}

func holds(proc, name string) bool {
	links, _ := filepath.Glob(filepath.Join(proc, "fd", "*")) // none of a process of somebody else's
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == name {
			return true
		}
	}
	return false
}
