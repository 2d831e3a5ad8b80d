package libzbox

import (
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// makeMountPoints makes what is missing of the places that CRIU mounts on: as in a new container, the root file system may be bare. What lies
// below another mount comes with it: a bind mount brings it from its source, where it is made too, other file systems from the image.
func makeMountPoints(rootfs string, p *plan.Plan) error {
	covers := []cover{{target: "/", source: rootfs}}
	for n, step := range p.Steps {
		c, ok := coverOf(step)
		if !ok {
			continue
		}
		below := lastCover(covers, c.target)
		covers = append(covers, c)
		if below.source == "" {
			continue
		}
		directory := true
		if c.source != "" {
			st, err := os.Stat(c.source)
			if err != nil {
				return fmt.Errorf("%s: %s (%s): source: %w", configFile, p.Origin(n+1), c.target, err)
			}
			directory = st.IsDir()
		}
		if err := makeMountPoint(below.source, strings.TrimPrefix(c.target, below.target), directory); err != nil {
			return fmt.Errorf("%s: %s (%s): making the mount point: %w", configFile, p.Origin(n+1), c.target, err)
		}
	}
	return nil
}

// cover is a mount, on top of those that came before it.
type cover struct {
	target string
	source string // of a bind mount on the host; "" for a file system of its own
}

func coverOf(step plan.Step) (cover, bool) {
	switch s := step.(type) {
	case *plan.Mount:
		return cover{target: s.Target}, true
	case *plan.Bind:
		return cover{target: s.Target, source: s.Source}, true
	case *plan.Device:
		return cover{target: s.Path, source: s.Bind}, s.Bind != ""
	}
	return cover{}, false
}

// lastCover is the mount that a path is on.
func lastCover(covers []cover, target string) cover {
	for i := len(covers) - 1; i > 0; i-- {
		if strings.HasPrefix(target, covers[i].target+"/") {
			return covers[i]
		}
	}
	return covers[0]
}

// makeMountPoint makes a directory or an empty file at a path below a directory of the host, with its parents. Links in the path lead nowhere
// else: the whole path is resolved below the directory.
func makeMountPoint(below, target string, directory bool) error {
	top, err := openPath(below)
	if err != nil {
		return err
	}
	defer top.Close()
	names := strings.Split(strings.Trim(path.Clean("/"+target), "/"), "/")
	for i, name := range names {
		so := "/" + path.Join(names[:i+1]...)
		there, err := inside(top, so)
		if err != nil {
			return err
		}
		if there != nil {
			there.Close()
			continue
		}
		parent, err := inside(top, path.Dir(so))
		if err != nil {
			return err
		}
		if parent == nil { // it was there a moment ago
			return &os.PathError{Op: "open", Path: path.Dir(so), Err: unix.ENOENT}
		}
		err = makeEmpty(int(parent.Fd()), name, directory || i < len(names)-1)
		parent.Close()
		if err != nil {
			return &os.PathError{Op: "make", Path: so, Err: err}
		}
	}
	return nil
}

func makeEmpty(parent int, name string, directory bool) error {
	if directory {
		return unix.Mkdirat(parent, name, 0o755)
	}
	fd, err := unix.Openat(parent, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if err == nil {
		unix.Close(fd)
	}
	return err
}
