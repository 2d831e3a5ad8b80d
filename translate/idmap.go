package translate

import specs "github.com/opencontainers/runtime-spec/specs-go"

// ttyGroup is the group of terminals, gid 5 in every distribution.
const ttyGroup = 5

// idMaps is the user namespace of a sandbox.
type idMaps struct {
	uids, gids []specs.LinuxIDMapping
}

// idMaps maps the sandbox's root to an unprivileged user of the host, always: the seed mapped it to the caller, which under sudo is
// root itself (SEED.md 6.2, row 38).
func (o Options) idMaps() idMaps {
	if o.UID != 0 {
		return idMaps{
			uids: []specs.LinuxIDMapping{{HostID: o.UID, Size: 1}},
			gids: []specs.LinuxIDMapping{{HostID: o.GID, Size: 1}},
		}
	}
	return idMaps{uids: subordinate(o.SubUID), gids: subordinate(o.SubGID)}
}

func subordinate(r IDRange) []specs.LinuxIDMapping {
	if r.Size == 0 {
		r = DefaultRange
	}
	return []specs.LinuxIDMapping{{HostID: r.Start, Size: r.Size}}
}

// hasTTYGroup: a mount option with a gid that is not mapped would be refused.
func (m idMaps) hasTTYGroup() bool {
	return m.gids[0].Size > ttyGroup
}
