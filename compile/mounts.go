package compile

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// mountStep is a mount on its way into the plan: what the host opens for it, and what the stage does.
type mountStep struct {
	origin string
	open   *plan.OpenTree // nil when the stage opens the source itself
	steps  []plan.Step
}

// lateRemount makes a filesystem read-only at the end.
type lateRemount struct {
	origin string
	step   *plan.Remount
}

var propagationModes = map[string]uint64{
	"": unix.MS_SLAVE | unix.MS_REC, "private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC,
	"slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC, "shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC,
	"unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
}

// hostOpens: in a user namespace the container's root may not reach a source that the host's root may.
func (c *compiler) hostOpens() bool {
	return c.ns.own(unix.CLONE_NEWUSER) && c.req.Facts.EUID == 0 && !c.req.Facts.ForeignMounts
}

// decideMounts turns mounts[] into steps, in the listed order (config.md, "Mounts").
func (c *compiler) decideMounts() error {
	if c.spec.Linux.MountLabel != "" && !c.req.Facts.SELinux {
		c.warn("linux.mountLabel: SELinux is not enabled on this host; the mounts have no labels")
	}
	for i, m := range c.spec.Mounts {
		origin := fmt.Sprintf("mounts[%d]", i)
		steps, err := c.mount(origin, m)
		if err != nil {
			return fmt.Errorf("%s (%s): %w", origin, m.Destination, err)
		}
		c.mounts = append(c.mounts, steps...)
	}
	// Last, so that a tmpfs on /run does not hide it.
	if c.req.NotifyDir != "" {
		c.mounts = append(c.mounts, c.notifyMount())
	}
	return nil
}

func (c *compiler) mount(origin string, m specs.Mount) ([]mountStep, error) {
	if m.Destination == "" {
		return nil, errors.New("destination: must not be empty")
	}
	m.Destination = path.Clean("/" + m.Destination)
	o, err := parseOptions(m.Options)
	if err != nil {
		return nil, err
	}
	mappings := len(m.UIDMappings) > 0 || len(m.GIDMappings) > 0
	bind := o.bind || m.Type == "bind"
	switch {
	case mappings && (!bind || o.remount):
		return nil, errors.New("uidMappings, gidMappings: only bind mounts can be idmapped")
	case o.idmap && (!bind || o.remount):
		return nil, errors.New("options: idmap is for bind mounts")
	case o.flags&plan.MountTmpCopyUp != 0 && (m.Type != "tmpfs" || bind || o.remount):
		return nil, errors.New("options: tmpcopyup is for tmpfs")
	case o.flags&plan.MountCopySymlink != 0 && (!bind || o.remount):
		return nil, errors.New("options: copy-symlink is for bind mounts")
	}
	if bind {
		if err := c.leaveOutData(origin, m.Destination, o); err != nil {
			return nil, err
		}
	}
	switch {
	case o.remount:
		return c.remount(origin, m, o)
	case bind:
		return c.bind(origin, m, o)
	case m.Type == "cgroup" || m.Type == "cgroup2":
		return c.cgroupMount(origin, m, o)
	case m.Type == "" || m.Type == "none":
		return nil, errors.New("type: must not be empty for a mount that is no bind")
	}
	return c.newFilesystem(origin, m, o)
}

// leaveOutData warns of a bind mount's options that are for the filesystem, which mount(2) ignores there without a word. A word without a
// value may be the misspelt name of an attribute (nosiud), and is an error.
func (c *compiler) leaveOutData(origin, destination string, o options) error {
	unknown := slices.DeleteFunc(slices.Clone(o.data), func(word string) bool { return strings.Contains(word, "=") })
	if len(unknown) > 0 {
		return fmt.Errorf("options: %s: a bind mount takes no filesystem options", strings.Join(unknown, ","))
	}
	if words := append(slices.Clone(o.super), o.data...); len(words) > 0 {
		c.warn("%s (%s).options: %s left out: a bind mount takes no filesystem options, it shares the filesystem of its source", origin, destination,
			strings.Join(words, ", "))
	}
	return nil
}

// newFilesystem is a mount that is no bind.
func (c *compiler) newFilesystem(origin string, m specs.Mount, o options) ([]mountStep, error) {
	step := &plan.Mount{
		FSType: m.Type, Source: m.Source, Options: append(slices.Clone(o.super), o.data...), Target: m.Destination,
		Attr: o.single(), Propagation: o.propagation, Flags: o.flags,
	}
	switch m.Type {
	case "proc", "sysfs":
		step.Flags |= plan.MountRealDir
	case "tmpfs":
		c.delayReadOnly(origin, step)
		step.Options = append(step.Options, c.labelOption(m.Type)...)
	case "overlay":
		c.layersInRoot(step.Options)
		c.superReadOnly(step)
		step.Options = append(step.Options, c.labelOption(m.Type)...)
	case "mqueue", "devpts":
		step.Options = append(step.Options, c.labelOption(m.Type)...)
	default:
		c.superReadOnly(step)
		step.Options = append(step.Options, c.labelOption(m.Type)...)
	}
	return []mountStep{{origin: origin, steps: []plan.Step{step}}}, nil
}

// superReadOnly: a filesystem with a device or storage behind it must not be written to, and the attribute of the mount alone would not see
// to that.
func (c *compiler) superReadOnly(step *plan.Mount) {
	if step.Attr&unix.MOUNT_ATTR_RDONLY != 0 {
		step.Options = append([]string{"ro"}, step.Options...)
	}
}

// layersInRoot makes the layers of an overlay that lie below the root relative to it: the stage then finds them there, whether or not the
// container's root can reach the path, and mounts that came before are seen. That is how an overlay comes to lie on "/" itself.
func (c *compiler) layersInRoot(words []string) {
	for i, word := range words {
		key, value, _ := strings.Cut(word, "=")
		if (key != "lowerdir" && key != "upperdir" && key != "workdir") || strings.Contains(value, `\`) {
			continue
		}
		layers := strings.Split(value, ":")
		for j, layer := range layers {
			if inside, ok := strings.CutPrefix(layer, c.rootPath()+"/"); ok {
				layers[j] = inside
			}
		}
		words[i] = key + "=" + strings.Join(layers, ":")
	}
}

// delayReadOnly makes a tmpfs writable until what is mounted and made below it is there.
func (c *compiler) delayReadOnly(origin string, step *plan.Mount) {
	if step.Attr&unix.MOUNT_ATTR_RDONLY == 0 {
		return
	}
	step.Attr &^= unix.MOUNT_ATTR_RDONLY
	c.lateReadOnly = append(c.lateReadOnly, lateRemount{origin, &plan.Remount{Target: step.Target, AttrSet: unix.MOUNT_ATTR_RDONLY}})
}

// labelOption is the SELinux context of a new filesystem (linux.mountLabel); crun's annotation chooses its kind.
func (c *compiler) labelOption(fstype string) []string {
	label := c.spec.Linux.MountLabel
	if label == "" || !c.req.Facts.SELinux {
		return nil
	}
	kind := "context"
	if asked := c.spec.Annotations["run.oci.mount_context_type"]; asked != "" {
		kind = asked
	}
	if fstype == "mqueue" || fstype == "proc" || fstype == "sysfs" {
		return nil
	}
	return []string{kind + "=" + label}
}

func (c *compiler) bind(origin string, m specs.Mount, o options) ([]mountStep, error) {
	if m.Source == "" {
		return nil, errors.New("source: must not be empty for a bind mount")
	}
	source := m.Source
	if !path.IsAbs(source) {
		source = path.Join(c.req.Bundle, source)
	}
	step := &plan.Bind{
		Source: source, FD: plan.NoFD, Target: m.Destination, AttrSet: o.set, AttrClear: o.clear,
		RecSet: o.recSet, RecClear: o.recClear, Propagation: o.propagation, Flags: o.flags,
	}
	out := mountStep{origin: origin, steps: []plan.Step{step}}
	uids, gids, err := c.mountMaps(m, o)
	if err != nil {
		return nil, err
	}
	if len(uids) > 0 || (c.hostOpens() && o.flags&plan.MountCopySymlink == 0) {
		out.open = &plan.OpenTree{
			Path: source, Recursive: o.flags&plan.MountRecursive != 0, Nofollow: o.flags&plan.MountSourceNofollow != 0,
			UIDs: uids, GIDs: gids, MapRecursive: o.ridmap,
		}
		// The copy was made in the host's mount namespace: without this, mounts inside the container would show outside.
		if step.Propagation == 0 {
			step.Propagation = unix.MS_SLAVE | unix.MS_REC
		}
	}
	return []mountStep{out}, nil
}

// mountMaps are the id maps of an idmapped mount: its own, or with the idmap option alone those of the container.
func (c *compiler) mountMaps(m specs.Mount, o options) (uids, gids []plan.IDMap, err error) {
	uids, gids = idMaps(m.UIDMappings), idMaps(m.GIDMappings)
	if o.idmapData != "" {
		if uids, gids, err = parseIDMapOption(o.idmapData); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case len(uids) > 0 && len(gids) > 0:
	case len(uids) > 0 || len(gids) > 0:
		return nil, nil, errors.New("uidMappings, gidMappings: an idmapped mount needs both")
	case o.idmap && !c.ns.isNew(unix.CLONE_NEWUSER):
		return nil, nil, errors.New("options: idmap without uidMappings and gidMappings needs a new user namespace to take them from")
	case o.idmap:
		uids, gids = idMaps(c.spec.Linux.UIDMappings), idMaps(c.spec.Linux.GIDMappings)
	}
	if len(uids) > 0 && c.req.Facts.EUID != 0 {
		return nil, nil, errors.New("idmapped mounts need root privileges")
	}
	return uids, gids, nil
}

// parseIDMapOption reads crun's form: uids=0-100000-65536#65536-0-1;gids=… with container, host and size.
func parseIDMapOption(text string) (uids, gids []plan.IDMap, err error) {
	for part := range strings.SplitSeq(text, ";") {
		kind, list, _ := strings.Cut(part, "=")
		var maps []plan.IDMap
		for item := range strings.SplitSeq(list, "#") {
			m, err := parseIDRange(item)
			if err != nil {
				return nil, nil, fmt.Errorf("options: idmap=%s: %w", text, err)
			}
			maps = append(maps, m)
		}
		switch kind {
		case "uids":
			uids = maps
		case "gids":
			gids = maps
		default:
			return nil, nil, fmt.Errorf("options: idmap=%s: %q is not uids or gids", text, kind)
		}
	}
	return uids, gids, nil
}

func parseIDRange(text string) (plan.IDMap, error) {
	fields := strings.Split(strings.TrimPrefix(text, "@"), "-")
	if len(fields) != 3 {
		return plan.IDMap{}, fmt.Errorf("%q is not CONTAINER-HOST-SIZE", text)
	}
	var n [3]uint32
	for i, f := range fields {
		v, err := strconv.ParseUint(f, 10, 32)
		if err != nil {
			return plan.IDMap{}, fmt.Errorf("%q is not CONTAINER-HOST-SIZE", text)
		}
		n[i] = uint32(v)
	}
	return plan.IDMap{Container: n[0], Host: n[1], Size: n[2]}, nil
}

func (c *compiler) remount(origin string, m specs.Mount, o options) ([]mountStep, error) {
	step := &plan.Remount{
		Target: m.Destination, AttrSet: o.set, AttrClear: o.clear, RecSet: o.recSet, RecClear: o.recClear, Propagation: o.propagation,
	}
	if !o.bind {
		step.Options = append(slices.Clone(o.super), o.data...)
	}
	return []mountStep{{origin: origin, steps: []plan.Step{step}}}, nil
}

// notifyMount shows the sd_notify socket's directory in the container.
func (c *compiler) notifyMount() mountStep {
	step := &plan.Bind{Source: c.req.NotifyDir, FD: plan.NoFD, Target: path.Dir(c.req.NotifySocket), AttrSet: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	out := mountStep{origin: "NOTIFY_SOCKET", steps: []plan.Step{step}}
	if c.hostOpens() {
		out.open = &plan.OpenTree{Path: c.req.NotifyDir}
	}
	return out
}

func (c *compiler) openRoot() error {
	c.rootFD = plan.NoFD
	if c.hostOpens() && c.ns.own(unix.CLONE_NEWNS) {
		c.rootFD = c.nextFD()
		c.add("root.path", &plan.OpenTree{FD: c.rootFD, Path: c.rootPath(), Recursive: true})
	}
	return nil
}

func (c *compiler) openMountSources() error {
	for _, m := range c.mounts {
		if m.open == nil {
			continue
		}
		m.open.FD = c.nextFD()
		for _, s := range m.steps {
			if b, ok := s.(*plan.Bind); ok {
				b.FD = m.open.FD
			}
		}
		c.add(m.origin, m.open)
	}
	return nil
}

// root takes the root filesystem as the place that everything behind is resolved in.
func (c *compiler) root() error {
	if !c.ns.own(unix.CLONE_NEWNS) {
		return nil
	}
	mode, ok := propagationModes[c.spec.Linux.RootfsPropagation]
	if !ok {
		return fmt.Errorf("linux.rootfsPropagation: %q is not private, slave, shared or unbindable", c.spec.Linux.RootfsPropagation)
	}
	// Unbindable mounts could not be cloned below: the tree is cut off first, and the root gets its mode in the end.
	if mode&unix.MS_UNBINDABLE != 0 {
		mode = unix.MS_PRIVATE | mode&unix.MS_REC
	}
	c.add(given("linux.rootfsPropagation", c.spec.Linux.RootfsPropagation != ""), &plan.Propagation{Flags: mode})
	c.add("root.path", &plan.Root{Path: c.rootPath(), FD: c.rootFD})
	return nil
}

func (c *compiler) mountAll() error {
	waiting := c.joinsAmid()
	for _, m := range c.mounts {
		if waiting && needsCgroup(m) {
			c.joinAmid()
			waiting = false
		}
		for _, s := range m.steps {
			c.add(m.origin, s)
		}
	}
	if waiting {
		c.joinAmid()
	}
	if c.ns.own(unix.CLONE_NEWNS) {
		c.workingDirectory()
	}
	return nil
}

func (c *compiler) remountLate() error {
	for _, r := range c.lateReadOnly {
		c.add(r.origin, r.step)
	}
	return nil
}

// pivot leaves the host's tree. Without a mount namespace the terminal comes behind it: it is looked for below the root.
func (c *compiler) pivot() error {
	if !c.ns.own(unix.CLONE_NEWNS) {
		c.add("root.path", &plan.Chroot{Path: c.rootPath()})
		c.terminal(0)
		c.workingDirectory()
		return nil
	}
	if c.req.NoPivot {
		c.add("--no-pivot", &plan.MoveRoot{})
		return nil
	}
	c.add("", &plan.PivotRoot{})
	return nil
}

// rootAttributes come last: everything that is created in the root is there by now.
func (c *compiler) rootAttributes() error {
	if !c.ns.own(unix.CLONE_NEWNS) {
		return nil
	}
	step := &plan.RootAttr{}
	origin := "linux.rootfsPropagation"
	if c.spec.Root.Readonly {
		step.AttrSet = unix.MOUNT_ATTR_RDONLY
		origin = "root.readonly"
	}
	if c.spec.Linux.RootfsPropagation != "" {
		step.Propagation = propagationModes[c.spec.Linux.RootfsPropagation]
	}
	if step.AttrSet != 0 || step.Propagation != 0 {
		c.add(origin, step)
	}
	return nil
}

// paths hides and write-protects what the configuration names. Read-only comes first: a masked path stays masked.
func (c *compiler) paths() error {
	for i, p := range c.spec.Linux.ReadonlyPaths {
		c.add(fmt.Sprintf("linux.readonlyPaths[%d]", i), &plan.ReadOnly{Path: p})
	}
	for i, p := range c.spec.Linux.MaskedPaths {
		c.add(fmt.Sprintf("linux.maskedPaths[%d]", i), &plan.Mask{Path: p})
	}
	return nil
}
