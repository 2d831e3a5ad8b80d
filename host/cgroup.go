package host

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/host/facts"
)

// probeCgroup describes the hierarchies below root (/sys/fs/cgroup) as the process of proc (/proc/self) sees them.
func probeCgroup(root, proc string) (facts.Cgroup, error) {
	var c facts.Cgroup
	self, err := os.ReadFile(proc + "/cgroup")
	if err != nil {
		return c, fmt.Errorf("reading own cgroup: %w", err)
	}
	if c.Self, err = parseSelf(string(self)); err != nil {
		return c, err
	}
	if c.Unified = hasMagic(root, unix.CGROUP2_SUPER_MAGIC); c.Unified {
		return c, nil
	}
	info, err := os.ReadFile(proc + "/mountinfo")
	if err != nil {
		return c, fmt.Errorf("reading cgroup mounts: %w", err)
	}
	c.Mounts = parseMounts(string(info))
	return c, nil
}

// parseSelf reads /proc/PID/cgroup (cgroups(7)): lines "ID:CONTROLLER,CONTROLLER:PATH", with an empty list for v2. The path may
// hold colons.
func parseSelf(text string) (map[string]string, error) {
	self := map[string]string{}
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			return nil, fmt.Errorf("parsing own cgroup: line %q has no two colons", line)
		}
		for name := range strings.SplitSeq(parts[1], ",") {
			self[name] = parts[2]
		}
	}
	return self, nil
}

// generic are the super options of a cgroup v1 mount that name no controller (cgroups(7), mount(8)).
var generic = map[string]bool{
	"rw": true, "ro": true, "xattr": true, "noprefix": true, "clone_children": true, "cpuset_v2_mode": true,
	"favordynmods": true, "nofavordynmods": true, "seclabel": true,
}

// parseMounts picks the cgroup v1 mounts out of /proc/PID/mountinfo (proc(5)).
func parseMounts(text string) []facts.CgroupMount {
	var mounts []facts.CgroupMount
	for line := range strings.Lines(text) {
		front, back, ok := strings.Cut(line, " - cgroup ")
		if !ok {
			continue
		}
		fields, tail := strings.Fields(front), strings.Fields(back)
		if len(fields) < 6 || len(tail) < 2 {
			continue
		}
		m := facts.CgroupMount{Root: unescape(fields[3]), Mountpoint: unescape(fields[4])}
		for option := range strings.SplitSeq(tail[1], ",") {
			if !generic[option] && !strings.HasPrefix(option, "release_agent=") {
				m.Controllers = append(m.Controllers, option)
			}
		}
		if len(m.Controllers) > 0 {
			mounts = append(mounts, m)
		}
	}
	return mounts
}

// unescape undoes the octal escapes of mountinfo.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace
