package cgroup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	systemdDbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/systemd"
)

// connectPatience bounds how long systemd may take to answer at all. Tests shorten it.
var connectPatience = 5 * time.Second

// jobPatience bounds a request; opencontainers/cgroups itself waits 30 s for the job that a request starts.
const jobPatience = 35 * time.Second

// resolveSystemd finds the unit's name, and where systemd will put its cgroup.
func (c *Cgroup) resolveSystemd(cfg Config) (err error) {
	if err := c.nameUnit(cfg); err != nil {
		return err
	}
	if c.config.SystemdProps, err = properties(cfg.Annotations); err != nil {
		return err
	}
	if !systemd.IsRunningSystemd() {
		return errors.New("cgroup manager systemd: this machine was not booted with systemd; use cgroupfs")
	}
	c.saved.Rootless = cfg.Rootless || cfg.UserDBus
	if c.saved.Version == 2 {
		return c.placeScope(cfg.Facts.Self[""])
	}
	// Only the user's instance has to be asked for its place in the hierarchy.
	if c.saved.Rootless {
		if err := reachable(true); err != nil {
			return err
		}
	}
	if err := bounded("asking systemd for its cgroup", c.open); err != nil {
		return err
	}
	c.saved.Paths = c.manager.GetPaths()
	return nil
}

// placeScope finds out where systemd will put the scope on cgroup v2.
func (c *Cgroup) placeScope(self string) error {
	place, err := systemd.ExpandSlice(c.saved.slice())
	if err != nil {
		return fmt.Errorf("linux.cgroupsPath: %w", err)
	}
	above := ""
	if c.saved.Rootless {
		if above, err = userPlace(self); err != nil {
			return err
		}
	}
	c.saved.Paths = map[string]string{"": filepath.Join(mountpoint, above, place, c.saved.unit())}
	return c.open()
}

// userPlace is the cgroup of the user's systemd: zbox's own cgroup tells it, unless zbox was started elsewhere.
func userPlace(self string) (string, error) {
	if place, ok := userSession(self); ok {
		return place, nil
	}
	m, err := dialManager(true)
	if err != nil {
		return "", err
	}
	defer m.close()
	return m.place()
}

// userSession is the cgroup of the user's systemd that a cgroup is below of.
func userSession(path string) (string, bool) {
	elements := strings.Split(path, "/")
	i := slices.IndexFunc(elements, func(e string) bool { return strings.HasPrefix(e, "user@") && strings.HasSuffix(e, ".service") })
	if i < 0 {
		return "", false
	}
	return strings.Join(elements[:i+1], "/"), true
}

// nameUnit reads slice:prefix:name.
func (c *Cgroup) nameUnit(cfg Config) error {
	s := &c.saved
	s.Prefix, s.Name = "zbox", cfg.ID
	if cfg.Path != "" {
		parts := strings.Split(cfg.Path, ":")
		if len(parts) != 3 || parts[2] == "" {
			return fmt.Errorf("linux.cgroupsPath: %q is not slice:prefix:name, which systemd needs", cfg.Path)
		}
		s.Slice, s.Prefix, s.Name = parts[0], parts[1], parts[2]
	}
	if s.Slice != "" {
		if _, err := systemd.ExpandSlice(s.Slice); err != nil {
			return fmt.Errorf("linux.cgroupsPath: %w", err)
		}
	}
	if strings.Contains(s.Prefix+s.Name, "/") {
		return fmt.Errorf("linux.cgroupsPath: %q: a unit name has no slash", cfg.Path)
	}
	return nil
}

// startScope starts the transient unit with the process in it, then applies the limits that systemd has no property for.
func (c *Cgroup) startScope(pid int) error {
	if c.saved.Version == 2 {
		return c.startUnified(pid)
	}
	if err := reachable(c.saved.Rootless); err != nil {
		return err
	}
	err := bounded("starting systemd unit", func() error {
		if err := c.manager.Apply(pid); err != nil {
			return fmt.Errorf("starting systemd unit: %w", err)
		}
		return nil
	})
	if err == nil {
		err = c.setScope(c.config.Resources)
	}
	if err != nil {
		_ = c.stopScope() // err is what went wrong first
	}
	return err
}

func (c *Cgroup) setScope(r *cgroups.Resources) error {
	parts := split(r)
	if c.lenient {
		// One by one, so that one that is refused does not take the others with it.
		return bounded("setting systemd unit properties", func() error { return c.limitParts(parts) })
	}
	for _, p := range parts {
		if err := c.refuseIgnored(p); err != nil {
			return err
		}
	}
	err := bounded("setting systemd unit properties", func() error {
		return keepMemlock(func() error { return c.manager.Set(r) })
	})
	if err != nil {
		p, _ := blame(parts, err)
		return c.explain(p, err)
	}
	return nil
}

func (c *Cgroup) stopScope() error {
	if c.saved.Version == 2 {
		return c.stopUnified()
	}
	if err := reachable(c.saved.Rootless); err != nil {
		return err
	}
	return bounded("stopping systemd unit", func() error {
		if err := c.manager.Destroy(); err != nil {
			return fmt.Errorf("stopping systemd unit: %w", err)
		}
		return nil
	})
}

// reachable connects to systemd once and hangs up, because opencontainers/cgroups has no bound for its own connections.
func reachable(user bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), connectPatience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- connect(ctx, user) }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("connecting to systemd: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("connecting to systemd: no answer within %v", connectPatience)
	}
}

func connect(ctx context.Context, user bool) error {
	if !user {
		conn, err := systemdDbus.NewWithContext(ctx)
		if err == nil {
			conn.Close()
		}
		return err
	}
	address, err := systemd.DetectUserDbusSessionBusAddress()
	if err != nil {
		return err
	}
	conn, err := dbus.Dial(address, dbus.WithContext(ctx))
	if err == nil {
		err = conn.Close()
	}
	return err
}

// bounded runs request for at most jobPatience. What has not ended then is left behind: it hangs in systemd, and the command is
// about to fail.
func bounded(what string, request func() error) error {
	done := make(chan error, 1)
	go func() { done <- request() }()
	timer := time.NewTimer(jobPatience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("%s: no answer within %v", what, jobPatience)
	}
}

const propertyPrefix = "org.systemd.property."

// properties reads the annotations org.systemd.property.NAME=GVARIANT. As systemd's own files do, NAME may give seconds where
// the property wants microseconds: TimeoutStopSec stands for TimeoutStopUSec.
func properties(annotations map[string]string) (props []systemdDbus.Property, err error) {
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, propertyPrefix)
		if !ok {
			continue
		}
		if len(name) < 3 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return nil, fmt.Errorf("annotations[%q]: %q is not a property name", key, name)
		}
		value, err := dbus.ParseVariant(annotations[key], dbus.Signature{})
		if err != nil {
			return nil, fmt.Errorf("annotations[%q]: parsing value: %w", key, err)
		}
		if stem, ok := strings.CutSuffix(name, "Sec"); ok && endsLower(stem) {
			if value, err = microseconds(value); err != nil {
				return nil, fmt.Errorf("annotations[%q]: %w", key, err)
			}
			name = stem + "USec"
		}
		props = append(props, systemdDbus.Property{Name: name, Value: value})
	}
	return props, nil
}

// endsLower tells TimeoutStopSec from TimeoutStopUSec.
func endsLower(stem string) bool {
	return stem != "" && stem[len(stem)-1] >= 'a' && stem[len(stem)-1] <= 'z'
}

func microseconds(v dbus.Variant) (dbus.Variant, error) {
	const million = 1_000_000
	var usec uint64
	switch sec := v.Value().(type) {
	case float64:
		usec = uint64(sec * million)
	case int64:
		usec = uint64(sec) * million
	case uint64:
		usec = sec * million
	case int32:
		usec = uint64(sec) * million
	case uint32:
		usec = uint64(sec) * million
	case int16:
		usec = uint64(sec) * million
	case uint16:
		usec = uint64(sec) * million
	default:
		return v, fmt.Errorf("%s is not a number of seconds", v.String())
	}
	return dbus.MakeVariant(usec), nil
}
