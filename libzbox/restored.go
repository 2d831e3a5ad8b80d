package libzbox

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// lastBeforeResume finishes what CRIU has restored, and compares it with what the configuration allows: an image holds credentials, and says
// which namespaces are new and what is mounted, and it may come from elsewhere. CRIU lets no process run before the answer; it does not undo
// anything any more either, so that what is wrong is killed here.
func (p *performer) lastBeforeResume() error {
	err := p.protectMounts()
	if err == nil {
		err = p.compareRestored()
	}
	if err != nil {
		p.killRestored()
		return err
	}
	p.checked = true
	return nil
}

func (p *performer) killRestored() {
	if p.cgroup.Exists() {
		_ = p.cgroup.Kill() // destroy comes behind, and reports what it cannot do
	}
	_ = p.container.j.Init.killTree()
}

func (p *performer) compareRestored() error {
	err := p.checkJoined()
	if err == nil {
		err = p.checkMaps()
	}
	if err == nil {
		err = p.checkProcesses()
	}
	if err == nil {
		err = p.checkMounts()
	}
	if err != nil {
		return fmt.Errorf("the image was not restored, it asks for more than %s: %w", configFile, err)
	}
	return nil
}

func (p *performer) checkProcesses() error {
	limits := p.limitsOfPlan()
	for _, process := range p.container.j.Init.tree() {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", process.Pid))
		if err != nil || len(threads) == 0 {
			return fmt.Errorf("process %d is gone", process.Pid)
		}
		for _, thread := range threads {
			if err := p.checkThread(thread, limits); err != nil {
				return fmt.Errorf("process %d: %w", process.Pid, err)
			}
		}
	}
	return nil
}

// checkThread looks into the directory of a thread in procfs. A thread that has ended does nothing any more and has no namespaces: CRIU restores
// zombies, too. The first thread of a process can be one while others run.
func (p *performer) checkThread(thread string, limits processLimits) error {
	status, err := readStatus(filepath.Join(thread, "status"))
	if err != nil {
		return err
	}
	if state := status["State"]; strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X") {
		return nil
	}
	if err := p.checkNew(thread); err != nil {
		return err
	}
	if err := p.checkProfile(thread); err != nil {
		return err
	}
	return limits.check(status)
}

// tree is the process with all its descendants.
func (p processID) tree() []processID {
	all := []processID{p}
	for _, child := range p.children() {
		all = append(all, child.tree()...)
	}
	return all
}

// checkNew: where the configuration has a new namespace, no thread may be in zbox's own.
func (p *performer) checkNew(thread string) error {
	return p.eachNamespace(func(ns specs.LinuxNamespace, file string) error {
		if ns.Path != "" {
			return nil
		}
		same, err := sameNamespace("/proc/self/ns/"+file, filepath.Join(thread, "ns", file))
		if err == nil && same {
			err = fmt.Errorf("it is in the %s namespace of the host", ns.Type)
		}
		return err
	})
}

// checkProfile: where the configuration has an AppArmor profile, no thread is without one. A profile may lead to another.
func (p *performer) checkProfile(thread string) error {
	if p.spec.Process.ApparmorProfile == "" || p.spec.Process.ApparmorProfile == unconfined {
		return nil
	}
	label, err := os.ReadFile(filepath.Join(thread, "attr/current"))
	if err == nil && strings.TrimSpace(string(label)) == unconfined {
		err = errors.New("it has no AppArmor profile, which process.apparmorProfile asks for")
	}
	return err
}

// unconfined is AppArmor's name for no profile.
const unconfined = "unconfined"

// checkJoined: init is in the namespaces that the configuration names.
func (p *performer) checkJoined() error {
	return p.eachNamespace(func(ns specs.LinuxNamespace, file string) error {
		if ns.Path == "" {
			return nil
		}
		same, err := sameNamespace(ns.Path, fmt.Sprintf("/proc/%d/ns/%s", p.pid, file))
		if err == nil && !same {
			err = fmt.Errorf("init is not in the %s namespace %s", ns.Type, ns.Path)
		}
		return err
	})
}

// checkMaps: the ids of a new user namespace stand for those of the host that the configuration says.
func (p *performer) checkMaps() error {
	n := plan.First[*plan.MapIDs](p.plan)
	if n == 0 {
		return nil
	}
	want := p.plan.Steps[n-1].(*plan.MapIDs)
	for _, m := range []struct {
		file, field string
		ids         []plan.IDMap
	}{{"uid_map", "linux.uidMappings", want.UIDs}, {"gid_map", "linux.gidMappings", want.GIDs}} {
		got, err := readIDMap(fmt.Sprintf("/proc/%d/%s", p.pid, m.file))
		if err != nil {
			return err
		}
		if ids := slices.SortedFunc(slices.Values(m.ids), byContainerID); !slices.Equal(got, ids) {
			return fmt.Errorf("its %s is %v, not that of %s", m.file, got, m.field)
		}
	}
	return nil
}

// readIDMap reads a map (user_namespaces(7)), in the order of the ids in the container.
func readIDMap(file string) ([]plan.IDMap, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var ids []plan.IDMap
	for line := range strings.Lines(string(data)) {
		var m plan.IDMap
		if _, err := fmt.Sscan(line, &m.Container, &m.Host, &m.Size); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		ids = append(ids, m)
	}
	slices.SortFunc(ids, byContainerID)
	return ids, nil
}

func byContainerID(a, b plan.IDMap) int { return cmp.Compare(a.Container, b.Container) }

func (p *performer) eachNamespace(do func(ns specs.LinuxNamespace, file string) error) error {
	if p.spec.Linux == nil {
		return nil
	}
	for _, ns := range p.spec.Linux.Namespaces {
		if err := do(ns, namespaceFiles[string(ns.Type)]); err != nil {
			return err
		}
	}
	return nil
}

func sameNamespace(a, b string) (bool, error) {
	var left, right unix.Stat_t
	if err := unix.Stat(a, &left); err != nil {
		return false, fmt.Errorf("looking at %s: %w", a, err)
	}
	if err := unix.Stat(b, &right); err != nil {
		return false, fmt.Errorf("looking at %s: %w", b, err)
	}
	return left.Dev == right.Dev && left.Ino == right.Ino, nil
}

// processLimits are what no process of a container may exceed.
type processLimits struct {
	caps                uint64
	noNewPrivs, seccomp bool
}

// limitsOfPlan are those that the plan gives a new init.
func (p *performer) limitsOfPlan() processLimits {
	l := processLimits{caps: ^uint64(0)}
	for _, step := range p.plan.Steps {
		switch s := step.(type) {
		case *plan.Bounding:
			l.caps = s.Keep
		case *plan.NoNewPrivs:
			l.noNewPrivs = true
		case *plan.Seccomp:
			l.seccomp = true
		}
	}
	for _, step := range p.plan.Steps {
		if s, ok := step.(*plan.Capset); ok {
			l.caps |= s.Permitted
		}
	}
	return l
}

// readStatus reads the status file of a thread (proc_pid_status(5)).
func readStatus(file string) (map[string]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	status := map[string]string{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		status[key] = strings.TrimSpace(value)
	}
	return status, nil
}

// check compares a thread's status.
func (l processLimits) check(status map[string]string) error {
	for _, key := range []string{"CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		caps, err := strconv.ParseUint(status[key], 16, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if more := caps &^ l.caps; more != 0 {
			return fmt.Errorf("it has capabilities that process.capabilities does not list (%s: %#x)", key, more)
		}
	}
	if l.noNewPrivs && status["NoNewPrivs"] != "1" {
		return errors.New("it may gain privileges, which process.noNewPrivileges forbids")
	}
	if l.seccomp && status["Seccomp"] != "2" {
		return errors.New("it has no seccomp filter, which linux.seccomp asks for")
	}
	return nil
}
