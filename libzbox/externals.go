package libzbox

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/cgroup"
	"github.com/bxrne/zbox/compile"
	"github.com/bxrne/zbox/criu"
	"github.com/bxrne/zbox/host"
	"github.com/bxrne/zbox/plan"
)

// external is a mount of a plan whose source is the host's: an image only names it, and a restore mounts it anew.
type external struct {
	target    string // in the container
	source    string // on the host
	name      string // in the image
	recursive bool
}

// nullDevice is what files are masked with; every mask has this name in the image, as runc has it.
const nullDevice = "/dev/null"

// externals are the mounts of a plan that CRIU cannot make out of the image. It is an error if one could not be restored as it was.
func externals(p *plan.Plan) ([]external, error) {
	idmapped := map[plan.FD]bool{}
	var all []external
	for n, step := range p.Steps {
		switch s := step.(type) {
		case *plan.OpenTree:
			idmapped[s.FD] = len(s.UIDs) > 0
		case *plan.Bind:
			if s.FD != plan.NoFD && idmapped[s.FD] {
				return nil, fmt.Errorf("%s: %s (%s): CRIU cannot restore an idmapped mount", configFile, p.Origin(n+1), s.Target)
			}
			all = append(all, external{target: s.Target, source: s.Source, name: s.Target, recursive: s.Flags&plan.MountRecursive != 0})
		case *plan.Device:
			if s.Bind != "" {
				all = append(all, external{target: s.Path, source: s.Bind, name: s.Path})
			}
		case *plan.Mask:
			all = append(all, external{target: s.Path, source: nullDevice, name: nullDevice})
		}
	}
	return all, nil
}

// planAgain compiles the plan that the container was made with; it is a function of the saved configuration.
func (c *Container) planAgain(s *specs.Spec) (*plan.Plan, error) {
	found, err := host.Probe()
	if err != nil {
		return nil, err
	}
	cg, err := cgroup.Load(c.j.Cgroup)
	if err != nil {
		return nil, err
	}
	request := compile.Request{
		ID: c.j.ID, Bundle: c.j.Bundle, Spec: s, Facts: found, CgroupPath: cg.Path(), CgroupPaths: c.j.Cgroup.Paths,
	}
	if dir := filepath.Join(c.dir, notifyDir); unix.Access(dir, unix.F_OK) == nil {
		request.NotifySocket, request.NotifyDir = notifyInside, dir
	}
	p, _, err := compile.Create(request) // it was warned at create
	if err != nil {
		return nil, fmt.Errorf("%s: %w", configFile, err)
	}
	return p, nil
}

// mountsToDump are the container's external mounts as they are now. What the container has unmounted is left out.
func (c *Container) mountsToDump(s *specs.Spec) ([]criu.ExternalMount, error) {
	p, err := c.planAgain(s)
	if err != nil {
		return nil, err
	}
	candidates, err := externals(p)
	if err != nil {
		return nil, err
	}
	mounts, err := readMounts(c.procPath("mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("reading the container's mounts: %w", err)
	}
	root, err := openPath(c.procPath("root"))
	if err != nil {
		return nil, fmt.Errorf("opening the container's root: %w", err)
	}
	defer root.Close()
	own := ownMounts(p, root)
	var all []criu.ExternalMount
	for _, e := range candidates {
		id, directory := mountAt(root, e.target)
		m := findMount(mounts, id)
		if m == nil || e.name == nullDevice && directory { // an empty tmpfs, which is the container's own
			continue
		}
		all = append(all, criu.ExternalMount{Key: m.point, Value: e.name})
		if !e.recursive {
			continue
		}
		for _, sub := range mounts {
			if rest, below := strings.CutPrefix(sub.point, m.point+"/"); below && !own[sub.id] {
				all = append(all, criu.ExternalMount{Key: sub.point, Value: path.Join(e.name, rest)})
			}
		}
	}
	return all, nil
}

// ownMounts are the ids of all mounts that a step of the plan has made by itself.
func ownMounts(p *plan.Plan, root *os.File) map[int]bool {
	own := map[int]bool{}
	for _, step := range p.Steps {
		var target string
		switch s := step.(type) {
		case *plan.Mount:
			target = s.Target
		case *plan.Bind:
			target = s.Target
		case *plan.Device:
			target = s.Path
		case *plan.Mask:
			target = s.Path
		case *plan.ReadOnly:
			target = s.Path
		default:
			continue
		}
		id, _ := mountAt(root, target)
		own[id] = true
	}
	return own
}

// mountAt is the id of the mount whose root is at a path of the container, and whether that is a directory; 0 when nothing is mounted there.
func mountAt(root *os.File, target string) (id int, directory bool) {
	f, err := inside(root, target)
	if err != nil || f == nil {
		return 0, false
	}
	defer f.Close()
	var st unix.Statx_t
	err = unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_TYPE|unix.STATX_MNT_ID, &st)
	if err != nil || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return 0, false
	}
	return int(st.Mnt_id), st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// mountsToRestore says where on the host the external mounts come from, with those that are mounted below a recursive one.
func mountsToRestore(all []external) ([]criu.ExternalMount, error) {
	mounts, err := readMounts("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("reading the mounts of the host: %w", err)
	}
	var out []criu.ExternalMount
	for _, e := range all {
		// CRIU does not follow links: it would bind the link itself.
		source, err := realPath(e.source)
		if err != nil {
			return nil, fmt.Errorf("%s: mount at %s: source: %w", configFile, e.target, err)
		}
		out = append(out, criu.ExternalMount{Key: e.name, Value: source})
		if !e.recursive {
			continue
		}
		for _, m := range mounts {
			if rest, below := strings.CutPrefix(m.point, strings.TrimSuffix(source, "/")+"/"); below {
				out = append(out, criu.ExternalMount{Key: path.Join(e.name, rest), Value: m.point})
			}
		}
	}
	return out, nil
}

// realPath is the path of a host's file without links, as mountinfo has it.
func realPath(name string) (string, error) {
	f, err := openPath(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}

// mountInfo is a line of mountinfo (proc_pid_mountinfo(5)).
type mountInfo struct {
	id    int
	point string
}

func findMount(mounts []mountInfo, id int) *mountInfo {
	for i := range mounts {
		if mounts[i].id == id {
			return &mounts[i]
		}
	}
	return nil
}

// readMounts reads a mountinfo file.
func readMounts(file string) ([]mountInfo, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var mounts []mountInfo
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		id, err := strconv.Atoi(fields[0])
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, mountInfo{id: id, point: unescape.Replace(fields[4])})
	}
	return mounts, lines.Err()
}
