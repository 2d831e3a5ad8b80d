package libzbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/cgroup"
	"github.com/bxrne/zbox/criu"
	"github.com/bxrne/zbox/spec/oneshot"
)

// CheckpointOptions are those of checkpoint.
type CheckpointOptions struct {
	CriuOptions
	ParentPath      string // directory of an earlier image, relative to ImagePath: only what changed since is saved
	PreDump         bool   // save the memory only
	LeaveRunning    bool   // let the container go on; without it CRIU kills its processes
	TCPSkipInFlight bool
	LinkRemap       bool
	PageServer      string   // ADDRESS:PORT, where the memory is sent to
	Status          *os.File // gets one zero byte when LazyPages are ready to be fetched
}

// Checkpoint saves the container's processes to an image (CRIU's dump). The container is stopped then, and still to be deleted, unless PreDump
// or LeaveRunning lets it go on; after an error it goes on.
func (c *Container) Checkpoint(o CheckpointOptions) error {
	if err := c.runtime.privileged(); err != nil {
		return err
	}
	if err := c.locked(); err != nil {
		return err
	}
	defer c.unlock()
	if status := c.status(); status != Running && status != Paused {
		return fmt.Errorf("cannot checkpoint a container in the %s state", status)
	}
	config, err := c.Spec()
	if err != nil {
		return err
	}
	s, err := criu.New(c.runtime.opts.Criu, Stdio{}.files())
	if err != nil {
		return err
	}
	defer s.Close()
	if err := o.makeImage(); err != nil {
		return err
	}
	request, done, err := c.dumpRequest(config, &o)
	if err != nil {
		return err
	}
	defer done()
	options, err := c.keepCgroupOptions(s, config)
	if err != nil {
		return err
	}
	err = c.dump(s, request, &o, options)
	c.j.Criu = nil
	return errors.Join(err, c.putBackCgroupOptions(options), c.writeJournal())
}

// dump has criu save the processes.
func (c *Container) dump(s *criu.Session, request *criu.Options, o *CheckpointOptions, options *cgroup.KeptOptions) error {
	var pid int
	err := inOwnMounts(func() (err error) {
		pid, err = s.Start()
		return err
	})
	if err == nil {
		err = c.recordCriu(pid)
	}
	if err != nil {
		return err
	}
	if err := options.Adopt(pid); err != nil {
		return err
	}
	dump := s.Dump
	if o.PreDump {
		dump = s.PreDump
	}
	notified := func(n criu.Notification) error { return c.saving(n, o.Status, options) }
	return o.explain(dump(request, notified), dumpLog)
}

// makeImage makes the image's directory, and checks the one that it builds on.
func (o *CheckpointOptions) makeImage() error {
	images, err := openMade(o.ImagePath)
	if err != nil {
		return fmt.Errorf("--image-path: %w", err)
	}
	images.Close()
	if o.ParentPath == "" {
		return nil
	}
	if filepath.IsAbs(o.ParentPath) {
		return fmt.Errorf("--parent-path: %s must be relative to --image-path", o.ParentPath)
	}
	if st, err := os.Stat(filepath.Join(o.ImagePath, o.ParentPath)); err != nil {
		return fmt.Errorf("--parent-path: %w", err)
	} else if !st.IsDir() {
		return fmt.Errorf("--parent-path: %s is not a directory", o.ParentPath)
	}
	return nil
}

// saving acts on what CRIU tells of its progress.
func (c *Container) saving(n criu.Notification, status *os.File, options *cgroup.KeptOptions) error {
	if n.File != nil {
		n.File.Close()
	}
	if n.Script != "status-ready" { // lazy pages can be fetched
		return nil
	}
	// Nothing is mounted any more, and the pages may take long to be fetched.
	if err := c.putBackCgroupOptions(options); err != nil || status == nil {
		return err
	}
	if _, err := status.Write([]byte{0}); err != nil {
		return fmt.Errorf("--status-fd: %w", err)
	}
	return nil
}

// dumpRequest is everything that CRIU is to know of the container.
func (c *Container) dumpRequest(config *specs.Spec, o *CheckpointOptions) (*criu.Options, func(), error) {
	images, err := openOwn(o.ImagePath)
	if err != nil {
		return nil, nil, fmt.Errorf("--image-path: %w", err)
	}
	r, done, err := o.request(dumpLog, images, c.j.Annotations)
	if err != nil {
		return nil, nil, err
	}
	r.Pid, r.Root, r.LeaveRunning = c.j.Init.Pid, c.j.Rootfs, o.LeaveRunning
	r.TCPSkipInFlight, r.LinkRemap, r.PageServer = o.TCPSkipInFlight, o.LinkRemap, o.PageServer
	r.ParentImage, r.TrackMem = o.ParentPath, o.ParentPath != ""
	r.FreezeCgroup = c.freezerDir()
	if err := r.Check(); err != nil {
		done()
		return nil, nil, err
	}
	if o.PreDump { // saves memory only
		return r, done, nil
	}
	if err := c.dumpExternals(r, o, config); err != nil {
		done()
		return nil, nil, err
	}
	return r, done, nil
}

// dumpExternals tells CRIU what is not the container's own: it is named in the image, and not saved.
func (c *Container) dumpExternals(r *criu.Options, o *CheckpointOptions, config *specs.Spec) error {
	for _, ns := range externalNamespaces {
		path := namespacePath(config, ns.kind)
		if path == "" {
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(c.procPath("ns", ns.file), &st); err != nil {
			return fmt.Errorf("looking at the container's %s namespace: %w", ns.kind, err)
		}
		r.External = append(r.External, fmt.Sprintf("%s[%d]:%s", ns.file, st.Ino, ns.key))
	}
	var err error
	if r.ExternalMounts, err = c.mountsToDump(config); err != nil {
		return err
	}
	files, external := c.standardFiles()
	r.External = append(r.External, external...)
	data, err := oneshot.Marshal(files)
	if err != nil {
		return fmt.Errorf("encoding the standard files: %w", err)
	}
	return writeStandardFiles(o.ImagePath, data)
}

// freezerDir is the directory of the cgroup that holds the container's processes, for CRIU to freeze; "" without one.
func (c *Container) freezerDir() string {
	cg, err := cgroup.Load(c.j.Cgroup)
	if err != nil || !cg.Exists() {
		return ""
	}
	if dir := c.j.Cgroup.Paths["freezer"]; dir != "" {
		return dir
	}
	return c.j.Cgroup.Paths[""]
}

func (c *Container) procPath(parts ...string) string {
	return filepath.Join(append([]string{"/proc", fmt.Sprint(c.j.Init.Pid)}, parts...)...)
}

// standardFilesName is the file of an image that names what init had as stdin, stdout and stderr, a JSON array of strings; runc and crun
// read and write the same.
const standardFilesName = "descriptors.json"

// standardFiles names what init has as stdin, stdout and stderr. Pipes are known by their names; files and terminals of the host, which are
// not in the container's mounts, become external.
func (c *Container) standardFiles() (names, external []string) {
	mounts, _ := readMounts(c.procPath("mountinfo")) // without it nothing is external, and CRIU says what is wrong
	for fd := range 3 {
		path := c.procPath("fd", fmt.Sprint(fd))
		name, err := os.Readlink(path)
		if err != nil { // closed
			name = ""
		} else if key := hostFile(path, mounts); key != "" && !strings.HasPrefix(name, "pipe:") {
			external = append(external, key)
			name = key
		}
		names = append(names, name)
	}
	return names, external
}

// hostFile is CRIU's name for a file or terminal that is on none of the container's mounts (criu(8), --external); "" for others.
func hostFile(path string, mounts []mountInfo) string {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &st); err != nil {
		return ""
	}
	for _, m := range mounts {
		if uint64(m.id) == st.Mnt_id {
			return ""
		}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return fmt.Sprintf("file[%x:%x]", st.Mnt_id, st.Ino)
	case unix.S_IFCHR:
		if st.Rdev_major >= 136 && st.Rdev_major <= 143 { // UNIX98_PTY_SLAVE_MAJOR
			return fmt.Sprintf("tty[%x:%x]", unix.Mkdev(st.Rdev_major, st.Rdev_minor), unix.Mkdev(st.Dev_major, st.Dev_minor))
		}
	}
	return ""
}

// writeStandardFiles writes the file of the names. A link in its place, which somebody who could write to the directory made, is an error.
func writeStandardFiles(dir string, data []byte) error {
	path := filepath.Join(dir, standardFilesName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
