package translate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/spec/oneshot"
)

// The names of a bundle: two of runtime-spec, bundle.md, and one of ours.
const (
	configFile = "config.json"
	rootfsDir  = "rootfs"
	helperFile = "helper" // a program of zbox: process 1, where one was asked for, and the hook of a portable bundle
)

// Bundle writes dir/config.json and dir/rootfs, a bundle for zbox and for any other OCI runtime. dir is made when it does not exist:
// for its owner, and for the group that the sandbox's root is mapped to to pass through. In a dir that exists, neither name may be there
// yet: nothing is overwritten and no link is followed (SEED.md 6.2, row 5). On an error Bundle removes what it has written.
//
// The warnings are those of Spec, and what of the machine cannot be had as asked.
func (c *Config) Bundle(dir string, args []string, o Options) (warnings []string, err error) {
	if o.dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("making the bundle: %w", err)
	}
	p, err := c.gather(o)
	if err != nil {
		return nil, c.locate(err)
	}
	defer p.close()
	if c.NetworkAccess && len(c.DNS) == 0 {
		if o.Nameservers, err = findNameservers(resolverFiles); err != nil {
			return nil, err
		}
	}
	content := rootfsOf(p.layers, c.skeletonOf(p, o))
	if o.Roots != nil && !p.layers.flat {
		if o.rootfs, err = c.keptRootfs(content, o); err != nil {
			return nil, fmt.Errorf("preparing the root file system: %w", err)
		}
	}
	s, warnings, err := c.spec(args, o, p)
	if err != nil {
		return nil, err
	}
	if p.layers.portable && c.PidsLimit == 1 {
		return nil, c.locate(wrong("pids_limit", "1 leaves no room for the hook that makes the root of a bundle: give at least 2"))
	}
	needsHelper := c.Init || p.layers.portable
	if needsHelper && len(o.HelperProgram) == 0 {
		return nil, errors.New("making the bundle: this zbox has no helper program")
	}
	b, err := openBundle(dir, idMaps{uids: s.Linux.UIDMappings, gids: s.Linux.GIDMappings})
	if err != nil {
		return nil, fmt.Errorf("making the bundle: %w", err)
	}
	defer b.close()
	if needsHelper {
		b.helper = o.HelperProgram
	}
	if o.rootfs == "" {
		err = b.writeRootfs(content)
	}
	if err == nil {
		err = b.writeConfig(s, o)
	}
	if err != nil {
		b.remove(dir)
		return nil, fmt.Errorf("writing the bundle: %w", err)
	}
	if o.Portable {
		warnings = append(warnings, c.bundleWarnings()...)
		warnings = append(warnings, idmapWarnings(s)...)
		warnings = append(warnings, b.passWarnings(o.dir)...)
	}
	return warnings, nil
}

// parts are what a sandbox is made of, as it was found on the machine.
type parts struct {
	program *program
	base    *base
	mounts  []*hostMount
	needs   []file // of the program
	layers  layers
}

// gather looks at the machine. Its errors are FieldErrors.
func (c *Config) gather(o Options) (p *parts, err error) {
	p = &parts{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.program, err = findProgram(c.Binary); err != nil {
		return p, wrong("binary", "%w", err)
	}
	if p.base, err = readBase(c.Root, o); err != nil {
		return p, wrong("root", "%w", err)
	}
	if p.mounts, err = c.openMounts(o); err != nil {
		return p, err
	}
	if err := c.checkProgramPath(p.mounts); err != nil {
		return p, err
	}
	if p.needs, err = c.needs(p.base, p.mounts, p.program); err != nil {
		return p, wrong("binary", "%w", err)
	}
	return p, c.chooseLayers(p, o)
}

// chooseLayers comes last: it makes the directory that persist names.
func (c *Config) chooseLayers(p *parts, o Options) error {
	ids, err := c.idMaps(o)
	if err != nil {
		return err
	}
	kept, err := c.openPersist(o, ids, p.base)
	if err != nil {
		return wrong("persist", "%w", err)
	}
	p.layers = c.layersOf(p.base, kept, o.Portable)
	if p.layers.mountsRoot() {
		return checkLayerPath(o.dir)
	}
	return nil
}

func (p *parts) close() {
	p.base.close()
	closeMounts(p.mounts)
}

// bundle is a bundle's directory while it is written.
type bundle struct {
	root     *os.Root
	dirs     map[string]*os.Root // below root, opened once: what is made in them needs no walk
	uid, gid int                 // of the sandbox's root; -1 when that is the caller
	ids      idMaps
	helper   []byte // nil for none
	// What of it is ours to remove.
	madeDir, madeRootfs, madeHelper bool
}

func openBundle(dir string, ids idMaps) (*bundle, error) {
	b := &bundle{dirs: map[string]*os.Root{}, uid: -1, gid: -1, ids: ids}
	if ids.uids[0].Size > 1 {
		b.uid, b.gid = int(ids.uids[0].HostID), int(ids.gids[0].HostID)
	}
	err := os.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	b.madeDir = err == nil
	if b.root, err = os.OpenRoot(dir); err != nil {
		return nil, err
	}
	if err := b.letIn(); err != nil {
		b.root.Close()
		b.remove(dir)
		return nil, err
	}
	return b, nil
}

// letIn lets the sandbox's root pass through the directory: runc opens the rootfs from inside the user namespace. A directory that
// was there before keeps its mode.
func (b *bundle) letIn() error {
	if b.gid < 0 {
		return nil
	}
	if b.madeDir {
		if err := b.root.Chown(".", -1, b.gid); err != nil {
			return err
		}
		return b.root.Chmod(".", 0o710)
	}
	return nil
}

// rootfsOf is the content of a bundle's rootfs, each directory before what is in it.
func rootfsOf(l layers, skeleton []entry) []entry {
	all := l.entries()
	for _, e := range skeleton {
		e.path = path.Join(l.skeleton(), e.path)
		all = append(all, e)
	}
	return all
}

func (b *bundle) writeRootfs(content []entry) error {
	if err := b.root.Mkdir(rootfsDir, 0o755); err != nil {
		return err
	}
	b.madeRootfs = true
	if err := b.adopt(b.root, rootfsDir, entry{}, 0o755); err != nil {
		return err
	}
	for _, e := range content {
		if err := b.writeEntry(rootfsDir, e); err != nil {
			return err
		}
	}
	return nil
}

// writeConfig comes last, so that a bundle with a config.json is complete.
func (b *bundle) writeConfig(s *specs.Spec, o Options) error {
	if b.helper != nil {
		if err := writeFile(b.root, helperFile, b.helper, 0o755); err != nil {
			return err
		}
		b.madeHelper = true
		if err := b.root.Chmod(helperFile, 0o755); err != nil {
			return err
		}
	}
	dense, err := oneshot.Marshal(s) // not json.Marshal, which takes a millisecond for its first value of a type
	if err != nil {
		return err
	}
	if !o.Portable { // nobody reads it
		return writeFile(b.root, configFile, dense, 0o600)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, append(dense, '\n'), "", "\t"); err != nil {
		return err
	}
	return writeFile(b.root, configFile, text.Bytes(), 0o600)
}

func (b *bundle) writeEntry(dir string, e entry) error {
	name := path.Join(dir, e.path)
	in, err := b.dir(path.Dir(name))
	if err != nil {
		return err
	}
	last := path.Base(name)
	perm := e.mode & (fs.ModePerm | fs.ModeSticky | fs.ModeSetgid)
	switch e.mode.Type() {
	case fs.ModeDir:
		err = in.Mkdir(last, perm.Perm())
	case fs.ModeSymlink:
		if err := in.Symlink(e.content, last); err != nil {
			return err
		}
		return b.own(in, last, e)
	default:
		err = writeFile(in, last, []byte(e.content), perm.Perm())
	}
	if err != nil {
		return err
	}
	return b.adopt(in, last, e, perm)
}

// dir opens a directory that was made before.
func (b *bundle) dir(name string) (*os.Root, error) {
	if name == "." {
		return b.root, nil
	}
	if d := b.dirs[name]; d != nil {
		return d, nil
	}
	above, err := b.dir(path.Dir(name))
	if err != nil {
		return nil, err
	}
	d, err := above.OpenRoot(path.Base(name))
	if err == nil {
		b.dirs[name] = d
	}
	return d, err
}

func (b *bundle) close() {
	for _, d := range b.dirs {
		d.Close()
	}
	b.root.Close()
}

// writeFile makes a new file: O_EXCL also refuses a link in its place (open(2)).
func writeFile(in *os.Root, name string, content []byte, perm fs.FileMode) error {
	f, err := in.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	if len(content) > 0 {
		_, err = f.Write(content)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = in.Remove(name)
	}
	return err
}

// adopt gives what was just made to a user of the sandbox, whatever the umask.
func (b *bundle) adopt(in *os.Root, name string, e entry, perm fs.FileMode) error {
	if err := b.own(in, name, e); err != nil {
		return err
	}
	return in.Chmod(name, perm)
}

func (b *bundle) own(in *os.Root, name string, e entry) error {
	if b.uid < 0 {
		return nil
	}
	return in.Lchown(name, int(hostID(b.ids.uids, e.uid)), int(hostID(b.ids.gids, e.gid)))
}

// remove takes back what was made; what cannot be removed stays.
func (b *bundle) remove(dir string) {
	if b.madeRootfs {
		_ = b.root.RemoveAll(rootfsDir)
	}
	if b.madeHelper {
		_ = b.root.Remove(helperFile)
	}
	if b.madeDir {
		_ = os.Remove(dir)
	}
}
