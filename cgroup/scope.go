package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	systemdDbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs2"
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
	return m.jobUntil(func() bool { return false }, method, args...)
}

// jobUntil is job for somebody who may see sooner that the job will be done.
func (m *unitManager) jobUntil(seen func() bool, method string, args ...any) error {
	m.subscribe()
	var path dbus.ObjectPath
	if err := m.call(method, args...).Store(&path); err != nil {
		return err
	}
	if seen() {
		return nil
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

// start starts the scope, and waits until its job has ended, or begins has seen that it will. A failed unit of the same name, which
// somebody left, makes way, and one whose cgroup is gone has a moment to be forgotten.
func (m *unitManager) start(unit string, properties []systemdDbus.Property, begins func() bool) error {
	const moment = time.Second
	start := func() error {
		return m.jobUntil(begins, "StartTransientUnit", unit, "replace", properties, []auxiliary{})
	}
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

// startUnified starts the transient unit with the process and its limits, then applies the limits that systemd has no property for.
func (c *Cgroup) startUnified(pid int) error {
	props, err := c.scopeProperties(pid)
	if err != nil {
		return err
	}
	connection := c.dialing
	if connection == nil {
		connection = Dial(c.saved.Driver, c.saved.Rootless)
		defer connection.HangUp()
	}
	m, err := connection.connected()
	if err != nil {
		return err
	}
	left := *c.config.Resources
	if err := m.start(c.saved.unit(), props, func() bool { return c.begins(&left) }); err != nil {
		return err
	}
	if err = c.limitUnified(&left); err == nil {
		err = c.delegate()
	}
	if err != nil {
		// The init process of a pid namespace would not heed the signal by which systemd stops it.
		_ = c.Kill()
		_ = m.stop(c.saved.unit()) // err is what went wrong first
	}
	return err
}

// begins watches the scope begin, and reports whether its process is in the cgroup. To move it there is the last that systemd does before a scope is
// running; the properties are applied by then (scope_start in src/core/scope.c), and the end of the job is told later. As soon as the cgroup is
// there, it takes the device rules out of the limits that are left, and sets them: that takes about as long as systemd needs to go on. What
// goes wrong is left to limitUnified, and to systemd.
func (c *Cgroup) begins(left *cgroups.Resources) bool {
	dir := c.saved.Paths[""]
	if !eventually(func() bool { return exists(dir) }) {
		return false
	}
	// Properties that somebody gave the unit may have device rules of systemd's own, which have to be there before, to be replaced.
	if len(c.config.SystemdProps) == 0 && c.limitDevices(left) == nil {
		left.Devices = nil
	}
	return eventually(func() bool { return populated(dir) })
}

// populated reports whether there is a process in the cgroup.
func populated(dir string) bool {
	f, err := cgroups.OpenFile(dir, "cgroup.events", os.O_RDONLY)
	if err != nil {
		return false
	}
	defer f.Close()
	n, err := readKey(f, "populated")
	return err == nil && n > 0
}

// eventually waits a moment for what systemd is about to do. It looks again and again: to close an inotify(7) instance takes the kernel 10 ms.
func eventually(happened func() bool) bool {
	const moment, pause = 100 * time.Millisecond, time.Millisecond
	for end := time.Now().Add(moment); !happened(); {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(pause) //nolint:forbidigo // see above
	}
	return true
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

// stopUnified stops the unit and removes the cgroups below it that are left. Without its cgroup there is no unit any more, or none
// yet: none is started without a living process. The kernel tells systemd of the end of a scope's last process, which has just happened
// most of the time, and to wait until systemd has acted takes less than to ask it.
func (c *Cgroup) stopUnified() error {
	if eventually(func() bool { return !exists(c.saved.Paths[""]) }) {
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
