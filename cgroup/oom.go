package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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

// OOMEvents sends on the channel whenever the cgroup runs out of memory from now on, once for events that come faster than they are received.
// The channel is closed when ctx ends, behind a last look, or the cgroup is removed; on v2 also when its last process has ended.
func (c *Cgroup) OOMEvents(ctx context.Context) (<-chan struct{}, error) {
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
	events := make(chan struct{}, 1)
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
	looks int    // at the files, behind each change
	// check reads the files again: how many OOM kills or events there were so far, and whether more can come.
	check func() (count uint64, more bool)
}

func (w *watcher) close() {
	for _, f := range w.files {
		_ = f.Close()
	}
}

func (w *watcher) run(stop int, events chan<- struct{}) {
	fds := []unix.PollFd{{Fd: int32(stop), Events: unix.POLLIN}}
	for _, f := range w.files {
		fds = append(fds, unix.PollFd{Fd: int32(f.Fd()), Events: w.poll})
	}
	for looks, stopped := 0, false; ; stopped = fds[0].Revents != 0 {
		count, more := w.check()
		if count > w.seen {
			w.seen = count
			select {
			case events <- struct{}{}:
			default:
			}
		}
		if stopped || !more {
			return
		}
		timeout := -1
		if looks > 0 {
			looks, timeout = looks-1, lookAgain
		}
		changed, err := unix.Poll(fds, timeout)
		if err != nil && err != unix.EINTR {
			return
		}
		if changed > 0 {
			looks = w.looks
		}
	}
}

// The kernel tells that a file of cgroup v2 has changed at most every 10 ms (CGROUP_FILE_NOTIFY_MIN_INTV in kernel/cgroup/cgroup.c). A process
// killed for lack of memory is the second change, behind the limit's being reached, and systemd removes a cgroup as soon as its last process has
// ended: so the files are read some times more behind a change.
const (
	lookAgain    = 2 // milliseconds
	looksUnified = 6
)

// watchUnified waits on memory.events and cgroup.events, which poll(2) reports as changed with POLLPRI
// (Documentation/admin-guide/cgroup-v2.rst).
func (c *Cgroup) watchUnified() (*watcher, error) {
	dir := c.saved.Paths[""]
	memory, err := cgroups.OpenFile(dir, "memory.events", os.O_RDONLY)
	if err != nil {
		if gone(err) && exists(dir) {
			return nil, errors.New("the cgroup has no memory controller")
		}
		return nil, err
	}
	life, err := cgroups.OpenFile(dir, "cgroup.events", os.O_RDONLY)
	if err != nil {
		_ = memory.Close()
		return nil, err
	}
	check := func() (uint64, bool) {
		populated, err := readKey(life, "populated")
		kills, _ := readKey(memory, "oom_kill")
		return kills, err == nil && populated == 1
	}
	before, _ := check()
	return &watcher{files: []*os.File{memory, life}, poll: unix.POLLPRI, seen: before, looks: looksUnified, check: check}, nil
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
	check := func() (uint64, bool) {
		buf := make([]byte, 8)
		if !exists(dir + "/cgroup.event_control") {
			return count, false
		}
		if _, err := unix.Read(fd, buf); err == nil {
			count++
		}
		return count, true
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
