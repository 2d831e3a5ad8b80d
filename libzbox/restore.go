package libzbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/cgroup"
	"github.com/bxrne/zbox/criu"
	"github.com/bxrne/zbox/plan"
	"github.com/bxrne/zbox/spec/oneshot"
)

// RestoreOptions are those of restore. Of CreateOptions, ConfigFile, NoPivot, NoNewKeyring, PreserveFDs and DieWithParent have no meaning
// for a process that exists already.
type RestoreOptions struct {
	CreateOptions
	CriuOptions
	TCPClose        bool
	LSMProfile      string // TYPE:NAME
	LSMMountContext string // an SELinux context
}

// Restore makes the container id from the bundle and lets CRIU fill it with the processes of an image; it runs when Restore returns. The
// image decides what the processes are and what they hold; what they may do is checked against the bundle's configuration, see lastBeforeResume.
// After an error nothing of the container is left.
func (r *Runtime) Restore(id string, o RestoreOptions) (*Container, *Process, error) {
	if err := r.privileged(); err != nil {
		return nil, nil, err
	}
	if r.exists(id) {
		return nil, nil, ErrExist
	}
	if err := closeOnExec(); err != nil {
		return nil, nil, err
	}
	systemd := cgroup.Dial(cgroup.Driver(r.opts.CgroupManager), r.rootless())
	defer systemd.HangUp()
	if o.Meanwhile != nil {
		o.Meanwhile()
	}
	if o.Prepare != nil {
		if err := o.Prepare(); err != nil {
			return nil, nil, err
		}
	}
	d, err := r.draft(id, o.CreateOptions, false, systemd)
	if err != nil {
		return nil, nil, err
	}
	if err := d.compile(); err != nil {
		return nil, nil, err
	}
	return d.make(func(c *Container) (*Process, error) { return c.bringBack(d, &o) })
}

// bringBack restores the processes and ends when they run.
func (c *Container) bringBack(d *draft, o *RestoreOptions) (*Process, error) {
	p := &performer{container: c, plan: d.plan, cgroup: d.cgroup, spec: d.spec, journal: true}
	defer p.close()
	if err := p.openSockets(o.ConsoleSocket, o.PidfdSocket, o.TakeConsole); err != nil {
		return nil, err
	}
	if err := d.notify.listen(); err != nil {
		return nil, err
	}
	if err := p.restore(d, o); err != nil {
		if p.outOfMemory() {
			return nil, fmt.Errorf("%w%s for CRIU, which restores inside of the cgroup", err, tooLittleMemory)
		}
		return nil, o.explain(err, restoreLog)
	}
	if err := p.sockets.sendPidfd(p.pid); err != nil {
		return nil, err
	}
	return p.made(d)
}

// restore has CRIU make the processes inside the container's cgroup. CRIU itself is in there too: what it restores stays where it is.
func (p *performer) restore(d *draft, o *RestoreOptions) error {
	s, err := criu.New(d.runtime.opts.Criu, o.Stdio.files())
	if err != nil {
		return err
	}
	defer s.Close()
	if err := makeMountPoints(d.rootfs, d.plan); err != nil {
		return err
	}
	if err := p.makeCgroup(); err != nil {
		return err
	}
	if p.options, err = p.container.keepCgroupOptions(s, d.spec); err != nil {
		return err
	}
	defer p.container.putBackCgroupOptions(p.options)
	var request *criu.Options
	var pid int
	done := func() {}
	err = inPrivateMounts(d.rootfs, func() (err error) {
		// Here, because criu mounts in the directories that are opened for it.
		request, done, err = p.restoreRequest(s, d, o)
		if err == nil {
			err = ownTmp(s, request)
		}
		if err == nil {
			err = p.restrictThread()
		}
		if err == nil {
			pid, err = s.Start()
		}
		return err
	})
	defer done()
	if err == nil {
		p.container.j.CriuDir, err = filepath.Abs(o.logDir())
	}
	if err == nil {
		err = p.container.recordCriu(pid) // not above, where an image may be mounted on the state directory
	}
	if err != nil {
		return err
	}
	if request.CgroupRoots, err = p.enterCgroup(pid); err != nil {
		return err
	}
	pid, err = s.Restore(request, p.restored)
	p.container.j.Criu = nil
	if uerr := p.container.putBackCgroupOptions(p.options); uerr != nil { // criu has failed before it told of that
		err = errors.Join(err, uerr)
	}
	if err == nil && (pid != p.pid || !p.checked) {
		err = fmt.Errorf("criu restored process %d without a word before", pid)
	}
	if err == nil {
		p.container.j.CriuDir = ""
	}
	return err
}

// restrictThread gives the thread that starts criu what criu does not restore, but hands on to all that it makes: before CRIU 3.18, images do
// not tell of no_new_privs.
func (p *performer) restrictThread() error {
	if plan.First[*plan.NoNewPrivs](p.plan) == 0 {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	return nil
}

// restoreRequest is everything that CRIU is to know of the new container.
func (p *performer) restoreRequest(s *criu.Session, d *draft, o *RestoreOptions) (*criu.Options, func(), error) {
	var maps *plan.MapIDs
	if n := plan.First[*plan.MapIDs](d.plan); n > 0 {
		maps = d.plan.Steps[n-1].(*plan.MapIDs)
	}
	images, err := o.openImage(maps, p.container.dir)
	if err != nil {
		return nil, func() {}, fmt.Errorf("--image-path: %w", err)
	}
	r, done, err := o.request(restoreLog, images, d.spec.Annotations)
	if err != nil {
		return nil, func() {}, err
	}
	r.Root = d.rootfs
	r.TCPClose, r.LSMProfile, r.LSMMountContext = o.TCPClose, o.LSMProfile, o.LSMMountContext
	if err = r.Check(); err == nil {
		err = p.restoreExternals(s, r, d, o)
	}
	if err != nil {
		done()
		return nil, func() {}, err
	}
	return r, done, nil
}

// restoreExternals gives CRIU what the image only names: mounts, namespaces, and the standard files.
func (p *performer) restoreExternals(s *criu.Session, r *criu.Options, d *draft, o *RestoreOptions) error {
	mounts, err := externals(d.plan)
	if err != nil {
		return err
	}
	if r.ExternalMounts, err = mountsToRestore(mounts); err != nil {
		return err
	}
	if err := joinNamespaces(s, r, d.spec); err != nil {
		return err
	}
	r.InheritFDs, err = standardFilesOf(o.ImagePath, r.InheritFDs)
	return err
}

// joinNamespaces restores into the namespaces that the configuration names by their paths.
func joinNamespaces(s *criu.Session, r *criu.Options, config *specs.Spec) error {
	if config.Linux == nil {
		return nil
	}
	for i, ns := range config.Linux.Namespaces {
		if ns.Path == "" {
			continue
		}
		field := fmt.Sprintf("%s: linux.namespaces[%d] (%s)", configFile, i, ns.Type)
		f, err := openNamespace(ns.Path, string(ns.Type))
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		if key := externalKey(ns.Type); key != "" {
			r.InheritFDs = append(r.InheritFDs, criu.InheritFD{Key: key, FD: s.Hand(f)})
			continue
		}
		f.Close()
		switch ns.Type {
		case specs.IPCNamespace, specs.UTSNamespace, specs.TimeNamespace:
			r.JoinNamespaces = append(r.JoinNamespaces, criu.JoinNamespace{Type: namespaceFiles[string(ns.Type)], Path: ns.Path})
		default:
			return fmt.Errorf("%s: CRIU cannot restore into an existing namespace of this type", field)
		}
	}
	return nil
}

func externalKey(kind specs.LinuxNamespaceType) string {
	for _, e := range externalNamespaces {
		if e.kind == kind {
			return e.key
		}
	}
	return ""
}

// standardFilesOf puts criu's own stdio in place of what init had when it was saved. An image that lacks the names keeps to what is in it.
func standardFilesOf(image string, fds []criu.InheritFD) ([]criu.InheritFD, error) {
	data, err := readNoFollow(filepath.Join(image, standardFilesName))
	if errors.Is(err, os.ErrNotExist) {
		return fds, nil
	}
	var names []string
	if err == nil {
		err = oneshot.Unmarshal(data, &names)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the image: %s: %w", standardFilesName, err)
	}
	for fd, name := range names {
		if fd < 3 && (strings.HasPrefix(name, "pipe:") || strings.HasPrefix(name, "file[") || strings.HasPrefix(name, "tty[")) {
			fds = append(fds, criu.InheritFD{Key: name, FD: fd})
		}
	}
	return fds, nil
}

// makeCgroup makes the container's cgroup, with its limits unless systemd is to make it.
func (p *performer) makeCgroup() error {
	if err := p.cgroup.Make(); err != nil {
		return err
	}
	p.container.j.Cgroup = p.cgroup.Saved()
	if err := p.container.writeJournal(); err != nil {
		return err
	}
	return p.cgroup.Limit()
}

// enterCgroup moves criu into the container's cgroup and returns where it is then, by controller.
func (p *performer) enterCgroup(pid int) (map[string]string, error) {
	if err := p.cgroup.Join(pid); err != nil {
		return nil, err
	}
	paths, err := cgroups.ParseCgroupFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, fmt.Errorf("finding criu's cgroup: %w", err)
	}
	return paths, nil
}

// restored acts on what CRIU tells of its progress.
func (p *performer) restored(n criu.Notification) error {
	if n.Script == "orphan-pts-master" && n.File != nil && (p.sockets.take || p.sockets.consoleSock >= 0) {
		return p.sockets.gotConsole(n.File)
	}
	if n.File != nil {
		n.File.Close()
	}
	switch n.Script {
	case "setup-namespaces":
		// There is an init, in its namespaces, which does nothing yet.
		p.pid = n.Pid
		if err := p.recordInit(); err != nil {
			return err
		}
		return p.restoreHostSteps()
	case "post-setup-namespaces": // all is mounted
		return p.container.putBackCgroupOptions(p.options)
	case "pre-resume":
		return p.lastBeforeResume()
	}
	return nil
}

// restoreHostSteps runs what the plan does in the host's world for a new init, and CRIU does not know of.
func (p *performer) restoreHostSteps() error {
	for i, step := range p.plan.Steps {
		switch s := step.(type) {
		case *plan.RunHook, *plan.IntelRdt:
			if err := p.hostStep(s.(plan.HostStep)); err != nil {
				return p.stepError(i+1, s.Text(), err)
			}
		}
	}
	return nil
}

// inPrivateMounts is inOwnMounts where dir is a mount point, as CRIU wants the new root to be.
func inPrivateMounts(dir string, do func() error) error {
	return inOwnMounts(func() error {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("making the root of the restored container a mount point: %w", err)
		}
		return do()
	})
}

// inOwnMounts calls do on a thread with a mount namespace of its own. The namespace, and what criu mounts there, goes when the last process in
// it ends, whatever happens to zbox and to criu.
func inOwnMounts(do func() error) error {
	return OnOwnThread(func() error {
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			// What is mounted here must not show outside; what is unmounted outside must not stay here.
			err = unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, "")
		}
		if err != nil {
			return fmt.Errorf("making a mount namespace for criu: %w", err)
		}
		return do()
	})
}
