package translate

import specs "github.com/opencontainers/runtime-spec/specs-go"

// ttyGroup is the group of terminals, gid 5 in every distribution.
const ttyGroup = 5

// idMaps is the user namespace of a sandbox.
type idMaps struct {
	uids, gids []specs.LinuxIDMapping
}

// idMaps maps the sandbox's root to an unprivileged user of the host, always: the seed mapped it to the caller, which under sudo is
// root itself (SEED.md 6.2, row 38). Without root privileges it is the caller, and other ids are there when newuidmap(1) has a range for
// them.
func (c *Config) idMaps(o Options) (idMaps, error) {
	var m idMaps
	if c.Rootless == Off && o.UID != 0 {
		return m, c.locate(wrong("rootless", "is false, but uid %d runs zbox: run it as root, or leave rootless out", o.UID))
	}
	if o.unprivileged() {
		m = idMaps{uids: withOwn(o.UID, o.SubUID), gids: withOwn(o.GID, o.SubGID)}
	} else {
		m = idMaps{uids: subordinate(o.SubUID), gids: subordinate(o.SubGID)}
	}
	if err := m.check("uid", c.UID, m.uids); err != nil {
		return m, c.locate(err)
	}
	if err := m.check("gid", c.GID, m.gids); err != nil {
		return m, c.locate(err)
	}
	return m, nil
}

// withOwn maps 0 to the caller and the ids behind it to the caller's subordinate range, if there is one.
func withOwn(own uint32, r IDRange) []specs.LinuxIDMapping {
	maps := []specs.LinuxIDMapping{{HostID: own, Size: 1}}
	if r.Size > 0 {
		maps = append(maps, specs.LinuxIDMapping{ContainerID: 1, HostID: r.Start, Size: min(r.Size, rangeSize-1)})
	}
	return maps
}

func subordinate(r IDRange) []specs.LinuxIDMapping {
	if r.Size == 0 {
		r = DefaultRange
	}
	return []specs.LinuxIDMapping{{HostID: r.Start, Size: r.Size}}
}

// check reports an id that does not exist inside.
func (m idMaps) check(field string, id int64, maps []specs.LinuxIDMapping) error {
	if last := maps[len(maps)-1]; id >= int64(last.ContainerID)+int64(last.Size) {
		return wrong(field, "%d does not exist inside: without root privileges and without newuidmap, newgidmap (package uidmap) and a range in"+
			" /etc/subuid and /etc/subgid for the caller, 0 is the only one", id)
	}
	return nil
}

// hasTTYGroup: a mount option with a gid that is not mapped would be refused.
func (m idMaps) hasTTYGroup() bool {
	last := m.gids[len(m.gids)-1]
	return last.ContainerID+last.Size > ttyGroup
}
