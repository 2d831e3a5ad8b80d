package translate

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A portable bundle mounts nothing on /, because few runtimes can: crun before May 2025 and runc 1.5 are among those that cannot.
// Its rootfs is the skeleton, and a createContainer hook, the bundle's own program, puts an overlay on it (nsexec/stage/layers.c). The other
// layers come as mounts in /dev, the one directory that is new in every run. The hook unmounts them when the overlay has them.
const (
	hookName  = "layers"
	hookBase  = "/dev/.base"
	hookUpper = "/dev/.upper"
)

// hookMounts come behind that of /dev.
func (c *Config) hookMounts(l layers, o Options) (out []specs.Mount, warnings []string) {
	if l.base != nil {
		m := bindMount(l.base.dir, hookBase, "bind")
		warnings = mapBase(&m, l.base, o)
		out = append(out, m)
	}
	switch {
	case l.readonly:
	case l.persist != nil:
		out = append(out, specs.Mount{Destination: hookUpper, Type: "bind", Source: l.persist.dir, Options: []string{"bind", "rw", "nosuid", "nodev"}})
	default:
		out = append(out, specs.Mount{
			Destination: hookUpper, Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=755", "size=" + c.tmpfsSize()},
		})
	}
	return out, warnings
}

// layersHook makes the root of the layers. The program finds out by its name, the first argument, what is asked of it.
func layersHook(l layers, o Options) specs.Hook {
	args := []string{hookName, filepath.Join(o.dir, rootfsDir)}
	if l.base != nil {
		args = append(args, "base")
	}
	if !l.readonly {
		args = append(args, "upper")
	}
	return specs.Hook{Path: filepath.Join(o.dir, helperFile), Args: args}
}

// onSkeleton changes the paths of a configuration to those without links: the runtime looks for them in the skeleton, which has only some of
// the links of base.
func onSkeleton(s *specs.Spec, p *parts) {
	for i, m := range s.Mounts {
		s.Mounts[i].Destination = p.physical(m.Destination)
	}
	s.Process.Cwd = p.physical(s.Process.Cwd)
}

// physical is the path without links of base that name leads to inside. What is in a mount is not looked at.
func (p *parts) physical(name string) string {
	name = path.Clean(name)
	for _, own := range []string{"/dev", "/proc", "/sys"} {
		if isIn(name, own) {
			return name
		}
	}
	if h := holder(p.mounts, name); h != nil {
		return p.physical(h.target) + strings.TrimPrefix(name, h.target)
	}
	if rest, in := strings.CutPrefix(name, "/tmp/"); in {
		return path.Join(p.base.physical("/tmp"), rest)
	}
	return p.base.physical(name)
}

// bundleWarnings name what zbox itself does for a sandbox and a bundle cannot ask for.
func (c *Config) bundleWarnings() (out []string) {
	if c.TimeoutSeconds > 0 {
		out = append(out, "timeout_seconds: a bundle has none: who runs it must end it, as zbox -c does")
	}
	if c.Persist != "" {
		out = append(out, "persist: who runs the bundle must see to it that nothing else uses "+c.Persist+" at the same time, as zbox -c does")
	}
	return out
}

// passWarnings names the directories of a path that the sandbox's root cannot pass through. zbox opens the rootfs before it is that user.
func (b *bundle) passWarnings(dir string) (out []string) {
	if b.uid < 0 {
		return nil
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			continue
		}
		uid, gid := owner(info)
		mode := info.Mode().Perm()
		if mode&0o001 == 0 && (mode&0o010 == 0 || int(gid) != b.gid) && (mode&0o100 == 0 || int(uid) != b.uid) {
			out = append(out, fmt.Sprintf("%s: mode %04o keeps uid %d, the sandbox's root, from passing through: other runtimes than zbox open the rootfs as that user", dir, mode, b.uid))
		}
	}
	return out
}
