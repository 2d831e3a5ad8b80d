package translate

import (
	"fmt"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The layers of a sandbox's file system, directories of the bundle's rootfs. An overlay of them is mounted on / and covers them.
const (
	skeletonLayer = "skeleton" // what Bundle makes: mount points, /etc
	baseLayer     = "base"     // the content of root, bound here
	scratchLayer  = "scratch"  // a tmpfs for what the run writes
	persistLayer  = "persist"  // in its place, the directory that persist names
	upperDir      = "upper"    // in the layer that is written to; see mount(8), "overlay"
	workDir       = "work"
)

// layers decides what the file system of a sandbox is made of.
type layers struct {
	base    *base
	persist *persisted
	// flat: the skeleton is the rootfs, there is no overlay. That is a fresh root that nobody writes to.
	flat     bool
	readonly bool
	// portable: the skeleton is the rootfs, and a hook mounts the overlay on it.
	portable bool
}

func (c *Config) layersOf(b *base, p *persisted, portable bool) layers {
	flat := b == nil && c.ReadonlyRoot
	return layers{base: b, persist: p, flat: flat, readonly: c.ReadonlyRoot, portable: portable && !flat}
}

// mountsRoot: the bundle's own mounts make an overlay on /. Otherwise the skeleton is the rootfs.
func (l layers) mountsRoot() bool { return !l.flat && !l.portable }

// skeleton is the directory of the rootfs for what Bundle makes.
func (l layers) skeleton() string {
	if !l.mountsRoot() {
		return ""
	}
	return skeletonLayer
}

// entries are the directories of the rootfs besides the skeleton's. A tmpfs takes over what it covers (tmpcopyup), so that it has the two
// directories that an overlay needs.
func (l layers) entries() []entry {
	if !l.mountsRoot() {
		return nil
	}
	dir := func(name string) entry { return entry{path: name, mode: dirMode} }
	out := []entry{dir(skeletonLayer)}
	if l.base != nil {
		out = append(out, dir(baseLayer))
	}
	switch {
	case l.readonly:
	case l.persist != nil:
		out = append(out, dir(persistLayer))
	default:
		out = append(out, dir(scratchLayer), dir(scratchLayer+"/"+upperDir), dir(scratchLayer+"/"+workDir))
	}
	return out
}

// layerMounts come before all others. The overlay is mounted by the sandbox's root, in its user namespace (Linux 5.11): what a layer holds has no
// more power than the sandbox itself. userxattr: with the attributes that it may set.
func (c *Config) layerMounts(l layers, o Options) (out []specs.Mount, warnings []string) {
	if !l.mountsRoot() {
		return nil, nil
	}
	rootfs := o.rootfs
	if rootfs == "" {
		rootfs = filepath.Join(o.dir, rootfsDir)
	}
	lower := []string{filepath.Join(rootfs, skeletonLayer)}
	if l.base != nil {
		m := bindMount(l.base.dir, "/"+baseLayer, "bind")
		warnings = mapBase(&m, l.base, o)
		out = append(out, m)
		lower = append(lower, filepath.Join(rootfs, baseLayer))
	}
	overlay := specs.Mount{Destination: "/", Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + strings.Join(lower, ":")}}
	if !l.readonly {
		upper := scratchLayer
		if l.persist == nil {
			out = append(out, specs.Mount{
				Destination: "/" + scratchLayer, Type: "tmpfs", Source: "tmpfs",
				Options: []string{"nosuid", "nodev", "mode=755", "size=" + c.tmpfsSize(), "tmpcopyup"},
			})
		} else {
			upper = persistLayer
			out = append(out, specs.Mount{
				Destination: "/" + persistLayer, Type: "bind", Source: l.persist.dir, Options: []string{"bind", "rw", "nosuid", "nodev"},
			})
		}
		overlay.Options = append(overlay.Options, "upperdir="+filepath.Join(rootfs, upper, upperDir), "workdir="+filepath.Join(rootfs, upper, workDir))
	}
	overlay.Options = append(overlay.Options, "userxattr", "nosuid", "nodev")
	return append(out, overlay), warnings
}

// mapBase makes the files of a base belong to the sandbox's users. Without root privileges those of the caller belong to root inside by the
// user namespace, and all others to nobody.
func mapBase(m *specs.Mount, b *base, o Options) (warnings []string) {
	if o.unprivileged() {
		return nil
	}
	trouble := o.noIDMap(b.handle)
	if trouble == nil {
		trouble = o.needsKernel(5, 19, "id-mapped layers")
	}
	if trouble != nil {
		return []string{fmt.Sprintf("root: %s: %v: its files belong to nobody inside and cannot be changed there", b.dir, trouble)}
	}
	m.UIDMappings, m.GIDMappings = baseMaps(b.uid, o.SubUID), baseMaps(b.gid, o.SubGID)
	return nil
}

// checkLayerPath: overlayfs separates layers with colons, mount(2) options with commas.
func checkLayerPath(dir string) error {
	if strings.ContainsAny(dir, `:,\`) {
		return fmt.Errorf("%s: a path with a colon, comma or backslash cannot be written in the options of an overlay: choose another", dir)
	}
	return nil
}
