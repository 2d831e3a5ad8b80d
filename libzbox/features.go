package libzbox

import (
	"context"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/bxrne/zbox/cgroup"
	"github.com/bxrne/zbox/compile"
	"github.com/bxrne/zbox/host"
	"github.com/bxrne/zbox/spec"
)

// Features is the features document of runtime-spec (features.md): what this zbox can do on this machine.
func (r *Runtime) Features(version string) (*features.Features, error) {
	found, err := host.Probe()
	if err != nil {
		return nil, err
	}
	doc := spec.Features(found, version)
	doc.MountOptions, doc.Linux.Capabilities = compile.MountOptions(), compile.Capabilities()
	// Only libseccomp knows these.
	doc.Linux.Seccomp.Archs = compile.FilterArchitectures()
	doc.Annotations[spec.AnnotationLibseccomp] = compile.LibseccompVersion()
	return doc, nil
}

// Stats reads the container's resource use.
func (c *Container) Stats() (*Stats, error) {
	if c.status() == Stopped {
		return nil, ErrNotRunning
	}
	cg, err := cgroup.Load(c.j.Cgroup)
	if err != nil {
		return nil, err
	}
	stats, err := cg.Stats()
	if err != nil {
		return nil, fmt.Errorf("reading the cgroup's statistics: %w", err)
	}
	all := newStats(stats)
	if all.IntelRdt, err = c.resctrlStats(resctrlRoot); err != nil {
		return nil, fmt.Errorf("linux.intelRdt: %w", err)
	}
	return all, nil
}

// An OOMEvent is one of a container whose memory ran out.
type OOMEvent = cgroup.OOMEvent

// The events.
const (
	OOMKilled   = cgroup.OOMKilled
	OOMPossible = cgroup.OOMPossible
)

// OOMEvents returns a channel that gets an event for each time the kernel killed one of the container's processes for lack of memory.
// It is closed when the container ends or ctx does. Where systemd makes the cgroups, the last event may be OOMPossible: the kernel killed
// processes then, if SIGKILL has ended init.
func (c *Container) OOMEvents(ctx context.Context) (<-chan OOMEvent, error) {
	cg, err := cgroup.Load(c.j.Cgroup)
	if err != nil {
		return nil, err
	}
	return cg.OOMEvents(ctx)
}
