package cgroup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	systemdDbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs2"
	"golang.org/x/sys/unix"
)

// On cgroup v2 zbox talks to systemd itself: over one connection, with a bound for each request, and with all limits in the one
// request that starts the scope. opencontainers/cgroups connects twice, without a bound, and sends the limits in a second request.

const (
	systemdName      = "org.freedesktop.systemd1"
	systemdPath      = "/org/freedesktop/systemd1"
	systemdInterface = systemdName + ".Manager."
)

// call makes one request of the manager.
func (m *unitManager) call(method string, args ...any) *dbus.Call {
	ctx, cancel := context.WithTimeout(context.Background(), jobPatience)
	defer cancel()
	return m.object.CallWithContext(ctx, systemdInterface+method, 0, args...)
}

// job makes a request that starts a job, and waits for its end.
func (m *unitManager) job(method string, args ...any) error {
	m.subscribe()
	var path dbus.ObjectPath
	if err := m.call(method, args...).Store(&path); err != nil {
		return err
	}
	timer := time.NewTimer(jobPatience)
	defer timer.Stop()
	for {
		select {
		case signal, ok := <-m.signals:
			if !ok {
				return errors.New("the bus hung up")
			}
			// JobRemoved: id, path, unit, result (org.freedesktop.systemd1(5)).
			if !strings.HasSuffix(signal.Name, ".JobRemoved") || len(signal.Body) < 4 || signal.Body[1] != path {
				continue
			}
			if result := signal.Body[3]; result != "done" {
				return fmt.Errorf("its job ended with %q; see journalctl and systemctl status", result)
			}
			return nil
		case <-timer.C:
			return fmt.Errorf("its job did not end within %v", jobPatience)
		}
	}
}

func isBusError(err error, name string) bool {
	var e dbus.Error
	return errors.As(err, &e) && strings.HasSuffix(e.Name, "."+name)
}

// auxiliary is of the signature of StartTransientUnit; it is always empty.
type auxiliary struct {
	Name       string
	Properties []systemdDbus.Property
}

// start starts the scope. A failed unit of the same name, which somebody left, makes way, and one whose cgroup is gone has a moment
// to be forgotten.
func (m *unitManager) start(unit string, properties []systemdDbus.Property) error {
	const moment = time.Second
	start := func() error { return m.job("StartTransientUnit", unit, "replace", properties, []auxiliary{}) }
	err := start()
	for end := time.Now().Add(moment); isBusError(err, "UnitExists") && time.Now().Before(end); err = start() {
		m.call("ResetFailedUnit", unit)
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // systemd tells nobody when it forgets a unit
	}
	if err != nil {
		return fmt.Errorf("starting systemd unit %s: %w", unit, err)
	}
	return nil
}

// stop stops the unit, which systemd forgets then (CollectMode). One that is gone is no error.
func (m *unitManager) stop(unit string) error {
	err := m.job("StopUnit", unit, "replace")
	if isBusError(err, "NoSuchUnit") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stopping systemd unit %s: %w", unit, err)
	}
	return nil
}

// set changes properties until the unit stops.
func (m *unitManager) set(unit string, properties []systemdDbus.Property) error {
	if len(properties) == 0 {
		return nil
	}
	if err := m.call("SetUnitProperties", unit, true, properties).Err; err != nil {
		return fmt.Errorf("setting properties of systemd unit %s: %w", unit, err)
	}
	return nil
}

// place is where the user's systemd puts its units, a path below the root of the hierarchy.
func (m *unitManager) place() (string, error) {
	v, err := m.object.GetProperty(systemdInterface + "ControlGroup")
	if err != nil {
		return "", fmt.Errorf("asking systemd for its cgroup: %w", err)
	}
	path, ok := v.Value().(string)
	if !ok {
		return "", fmt.Errorf("asking systemd for its cgroup: the answer is %s", v)
	}
	return path, nil
}

func property(name string, value any) systemdDbus.Property {
	return systemdDbus.Property{Name: name, Value: dbus.MakeVariant(value)}
}

// unit is the name of the container's unit.
func (s *Saved) unit() string {
	if strings.HasSuffix(s.Name, ".slice") {
		return s.Name
	}
	return s.Prefix + "-" + s.Name + ".scope"
}

// slice is the unit's slice.
func (s *Saved) slice() string {
	switch {
	case s.Slice != "":
		return s.Slice
	case s.Rootless:
		return "user.slice"
	}
	return "system.slice"
}

// scopeProperties are those of a scope around the process, with its limits.
func (c *Cgroup) scopeProperties(pid int) ([]systemdDbus.Property, error) {
	limits, err := limitProperties(c.config.Resources)
	if err != nil {
		return nil, err
	}
	props := []systemdDbus.Property{
		property("Description", "zbox container "+c.saved.Name),
		property("Slice", c.saved.slice()),
		property("PIDs", []uint32{uint32(pid)}),
		// The container's cgroup and all below it are not systemd's to change.
		property("Delegate", true),
		property("DefaultDependencies", false),
		// systemd forgets the unit with its last process, also when that was killed for its memory.
		property("CollectMode", "inactive-or-failed"),
		property("MemoryAccounting", true),
		property("CPUAccounting", true),
		property("IOAccounting", true),
		property("TasksAccounting", true),
	}
	// Last come the annotations, which may overrule the limits, as in runc.
	return append(append(props, limits...), c.config.SystemdProps...), nil
}

// systemd is the connection that was begun before, or one of its own.
func (c *Cgroup) systemd() (m *unitManager, hangUp func(), err error) {
	if c.dialing != nil {
		m, err = c.dialing.connected()
		return m, func() {}, err
	}
	if m, err = dialManager(c.saved.Rootless); err != nil {
		return nil, nil, err
	}
	return m, m.close, nil
}

// startUnified starts the transient unit with the process and its limits, then applies the limits that systemd has no property for.
func (c *Cgroup) startUnified(pid int) error {
	props, err := c.scopeProperties(pid)
	if err != nil {
		return err
	}
	m, hangUp, err := c.systemd()
	if err != nil {
		return err
	}
	defer hangUp()
	if err := m.start(c.saved.unit(), props); err != nil {
		return err
	}
	if err = c.limitUnified(c.config.Resources); err == nil {
		err = c.delegate()
	}
	if err != nil {
		// The init process of a pid namespace would not heed the signal by which systemd stops it.
		_ = c.Kill()
		_ = m.stop(c.saved.unit()) // err is what went wrong first
	}
	return err
}

// limitUnified writes the limits to the cgroup's files: systemd has no property for some, and ignores others whose controller it
// has not.
func (c *Cgroup) limitUnified(r *cgroups.Resources) error {
	for _, p := range split(r) {
		// systemd hands down only the controllers that it knows.
		if name := p.controller[1]; name != "cgroup" && !hasController(c.saved.Paths[""], "cgroup.controllers", name) {
			if err := c.handDown(); err != nil {
				return err
			}
			break
		}
	}
	return c.limit(r)
}

// updateUnified changes the limits of the running unit.
func (c *Cgroup) updateUnified(r *cgroups.Resources) error {
	props, err := limitProperties(r)
	if err != nil {
		return err
	}
	// Before systemd would kill what a lower limit no longer allows.
	if err := c.checkUse(r); err != nil {
		return err
	}
	m, err := dialManager(c.saved.Rootless)
	if err != nil {
		return err
	}
	defer m.close()
	if err := m.set(c.saved.unit(), props); err != nil {
		return err
	}
	return c.limitUnified(r)
}

// handDown enables the controllers that systemd does not know, such as hugetlb, from the root of the hierarchy down. What cannot be
// enabled is found out when a limit is written.
func (c *Cgroup) handDown() error {
	if err := fs2.CreateCgroupPath(c.saved.Paths[""], c.config); err != nil {
		return fmt.Errorf("handing controllers down to %s: %w", c.saved.Paths[""], err)
	}
	return nil
}

// checkUse refuses a memory limit below what is used, when the configuration asks for that (memory.checkBeforeUpdate).
func (c *Cgroup) checkUse(r *cgroups.Resources) error {
	if err := fs2.CheckMemoryUsage(c.saved.Paths[""], r); err != nil {
		return fmt.Errorf("linux.resources.memory.limit: %w", err)
	}
	return nil
}

// vanishes reports whether the cgroup is gone, and waits for that a moment: the kernel tells systemd of the end of a scope's last process,
// which has just happened most of the time, and to be there when systemd acts takes less than to ask it.
func vanishes(dir string) bool {
	const moment = 100 * time.Millisecond
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return !exists(dir)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(dir), unix.IN_DELETE|unix.IN_DELETE_SELF); err != nil {
		return !exists(dir)
	}
	events := make([]byte, 4096)
	for end := time.Now().Add(moment); exists(dir); {
		left := time.Until(end).Milliseconds()
		if left <= 0 {
			return false
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left))
		if n > 0 {
			_, _ = unix.Read(fd, events) // something else went away, or the cgroup did
		} else if err != unix.EINTR {
			return !exists(dir)
		}
	}
	return true
}

// stopUnified stops the unit and removes the cgroups below it that are left. Without its cgroup there is no unit any more, or none
// yet: none is started without a living process.
func (c *Cgroup) stopUnified() error {
	if vanishes(c.saved.Paths[""]) {
		return nil
	}
	m, err := dialManager(c.saved.Rootless)
	if err != nil {
		return err
	}
	defer m.close()
	if err := m.stop(c.saved.unit()); err != nil {
		return err
	}
	if err := cgroups.RemovePath(c.saved.Paths[""]); err != nil {
		return c.explainBusy(c.saved.Paths[""], err)
	}
	return nil
}
