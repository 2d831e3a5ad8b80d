package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// OOMKills is the number of processes of the cgroup that the OOM killer has killed (memory.events on v2, memory.oom_control on v1;
// Linux 4.13). It is 0 when the cgroup has no memory controller.
func (c *Cgroup) OOMKills() (uint64, error) {
	if c.manager == nil || c.saved.None {
		return 0, fmt.Errorf("counting OOM kills: %w", ErrNone)
	}
	n, err := c.manager.OOMKillCount()
	if err != nil && !gone(err) {
		return 0, fmt.Errorf("counting OOM kills: %w", err)
	}
	return n, nil
}

// An OOMEvent says that the kernel has killed processes of a cgroup because memory ran out, or that it may have.
type OOMEvent int

const (
	// OOMKilled is what the cgroup itself counts.
	OOMKilled OOMEvent = iota

	// OOMPossible is the last event of a cgroup that was removed before its count was read, as systemd does as soon as the last process
	// has ended: its parent counts more kills than were known, but not whose. Who knows that SIGKILL ended that process may take it for one.
	OOMPossible
)

// OOMEvents sends on the channel whenever the cgroup runs out of memory from now on, once for events that come faster than they are received.
// The channel is closed when ctx ends, behind a last look, or the cgroup is removed; on v2 also when its last process has ended.
func (c *Cgroup) OOMEvents(ctx context.Context) (<-chan OOMEvent, error) {
	if c.manager == nil || c.saved.None {
		return nil, fmt.Errorf("watching for OOM: %w", ErrNone)
	}
	watch := c.watchLegacy
	if c.saved.Version == 2 {
		watch = c.watchUnified
	}
	w, err := watch()
	if err != nil {
		return nil, fmt.Errorf("watching for OOM: %w", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		w.close()
		return nil, os.NewSyscallError("eventfd", err)
	}
	events := make(chan OOMEvent, 1)
	ended := make(chan struct{})
	go func() {
		defer close(events)
		defer close(ended)
		defer w.close()
		w.run(stop, events)
	}()
	go func() {
		select {
		case <-ctx.Done():
			_, _ = unix.Write(stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
			<-ended
		case <-ended:
		}
		_ = unix.Close(stop)
	}()
	return events, nil
}

// watcher waits for changes of files of one cgroup.
type watcher struct {
	files []*os.File
	poll  int16  // what poll(2) reports a change as
	seen  uint64 // events that need not be reported
	// parent's file changes with other cgroups, too; nil for none.
	parent *os.File
	check  func() look // reads the files again
}

// look is what a check has found.
type look struct {
	count    uint64 // OOM kills or events so far
	possible bool   // it is too late to count, and there may be more
	last     bool   // more cannot come
}

// parentRest bounds how often other cgroups make a watcher look, in milliseconds: one that is always at its limit changes the parent's file 100
// times a second, and there may be hundreds of watchers.
const parentRest = 100

func (w *watcher) close() {
	for _, f := range w.files {
		_ = f.Close()
	}
	if w.parent != nil {
		_ = w.parent.Close()
	}
}

func (w *watcher) run(stop int, events chan<- OOMEvent) {
	fds := []unix.PollFd{{Fd: int32(stop), Events: unix.POLLIN}, {Fd: -1, Events: w.poll}}
	for _, f := range w.files {
		fds = append(fds, unix.PollFd{Fd: int32(f.Fd()), Events: w.poll})
	}
	for {
		found := w.check()
		switch {
		case found.count > w.seen:
			w.seen = found.count
			report(events, OOMKilled)
		case found.possible:
			report(events, OOMPossible)
		}
		if found.last || fds[0].Revents != 0 {
			return
		}
		timeout := w.pollParent(&fds[1])
		if _, err := unix.Poll(fds, timeout); err != nil && err != unix.EINTR {
			return
		}
	}
}

// pollParent prepares to wait for the parent's file, too, unless the last change was its; then it bounds the wait.
func (w *watcher) pollParent(fd *unix.PollFd) (timeout int) {
	switch {
	case w.parent == nil:
		return -1
	case fd.Revents != 0:
		fd.Fd = -1
		return parentRest
	}
	fd.Fd = int32(w.parent.Fd())
	return -1
}

// report does not wait: an event that is not received yet stands for this one.
func report(events chan<- OOMEvent, event OOMEvent) {
	select {
	case events <- event:
	default:
	}
}

// watchUnified waits on memory.events and cgroup.events, which poll(2) reports as changed with POLLPRI
// (Documentation/admin-guide/cgroup-v2.rst). The kernel counts a kill, in the cgroup and in those above, before it kills. But it tells of changes
// at most every 10 ms (CGROUP_FILE_NOTIFY_MIN_INTV in kernel/cgroup/cgroup.c), and when the last process ends, systemd removes the cgroup before
// a watcher has its turn. What it counted is in its parent's file then.
func (c *Cgroup) watchUnified() (_ *watcher, err error) {
	dir := c.saved.Paths[""]
	w := &watcher{poll: unix.POLLPRI}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	for _, name := range []string{"memory.events", "cgroup.events"} {
		f, err := cgroups.OpenFile(dir, name, os.O_RDONLY)
		if err != nil {
			if name == "memory.events" && gone(err) && exists(dir) {
				return nil, errors.New("the cgroup has no memory controller")
			}
			return nil, err
		}
		w.files = append(w.files, f)
	}
	if c.saved.Driver == Systemd {
		// The root has no such file.
		if w.parent, err = cgroups.OpenFile(filepath.Dir(dir), "memory.events", os.O_RDONLY); err != nil && !gone(err) {
			return nil, err
		}
	}
	counts := unifiedCounts{memory: w.files[0], life: w.files[1], parent: w.parent}
	if counts.own, err = readKey(counts.memory, "oom_kill"); err != nil {
		return nil, err
	}
	w.check, w.seen = counts.look, counts.own
	return w, nil
}

// unifiedCounts are the counts of OOM kills of a cgroup and of its parent.
type unifiedCounts struct {
	memory, life *os.File
	parent       *os.File // nil for none
	own          uint64   // as read last
	others       uint64   // kills that the parent counts for others
}

func (u *unifiedCounts) look() look {
	// In this order: what is counted behind the own count is in a later look at the parent's, and no process is killed behind the last one's end.
	total := u.total()
	populated, err := readKey(u.life, "populated")
	last := err != nil || populated == 0
	kills, err := readKey(u.memory, "oom_kill")
	if err != nil {
		return look{count: u.own, possible: u.total() > u.others+u.own, last: true}
	}
	if kills == u.own && total > kills { // a kill is in the own count a moment sooner
		u.others = max(u.others, total-kills)
	}
	u.own = kills
	return look{count: kills, last: last}
}

// total is what the parent counts; 0 when it is gone.
func (u *unifiedCounts) total() uint64 {
	if u.parent == nil {
		return 0
	}
	kills, err := readKey(u.parent, "oom_kill")
	if err != nil {
		return 0
	}
	return kills
}

// watchLegacy registers an eventfd for memory.oom_control (Documentation/admin-guide/cgroup-v1/memory.rst). The kernel signals it for
// each OOM, and once more when the cgroup is removed.
func (c *Cgroup) watchLegacy() (*watcher, error) {
	dir := c.saved.Paths["memory"]
	if dir == "" {
		return nil, errors.New("the cgroup has no memory controller")
	}
	control, err := cgroups.OpenFile(dir, "memory.oom_control", os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	event := os.NewFile(uintptr(fd), "eventfd")
	registration := fmt.Sprintf("%d %d", fd, int(control.Fd()))
	if err := cgroups.WriteFile(dir, "cgroup.event_control", registration); err != nil {
		_ = event.Close()
		return nil, err
	}
	count := uint64(0)
	check := func() look {
		buf := make([]byte, 8)
		if !exists(dir + "/cgroup.event_control") {
			return look{count: count, last: true}
		}
		if _, err := unix.Read(fd, buf); err == nil {
			count++
		}
		return look{count: count}
	}
	return &watcher{files: []*os.File{event}, poll: unix.POLLIN, check: check}, nil
}

// readKey reads the value of a key from the beginning of a file of "key value" lines; a key that is missing is 0.
func readKey(f *os.File, key string) (uint64, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == key {
			return strconv.ParseUint(value, 10, 64)
		}
	}
	return 0, nil
}
