package translate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The names of a bundle: two of runtime-spec, bundle.md, and one of ours.
const (
	configFile = "config.json"
	rootfsDir  = "rootfs"
	initFile   = "init" // the program that is process 1, where one was asked for
)

// resolverFile is bound on the /etc/resolv.conf of a root with content.
const resolverFile = "resolv.conf"

// Bundle writes dir/config.json and dir/rootfs, a bundle for zbox and for any other OCI runtime. dir is made when it does not exist:
// for its owner, and for the group that the sandbox's root is mapped to to pass through. In a dir that exists, neither name may be there
// yet: nothing is overwritten and no link is followed (SEED.md 6.2, row 5). On an error Bundle removes what it has written.
//
// The warnings are those of Spec, and what it found on the machine that is left out.
func (c *Config) Bundle(dir string, args []string, o Options) (warnings []string, err error) {
	program, err := findProgram(c.Binary)
	if err != nil {
		return nil, c.locate(wrong("binary", "%w", err))
	}
	base, err := readBase(c.Root, o.UID)
	if err != nil {
		return nil, c.locate(wrong("root", "%w", err))
	}
	if err := base.check(c, program); err != nil {
		return nil, c.locate(err)
	}
	mounts := append(base.mounts(), bindMount(program.path, c.target(), "bind"))
	if c.NetworkAccess && len(c.DNS) == 0 {
		if o.Nameservers, err = findNameservers(resolverFiles); err != nil {
			return nil, err
		}
	}
	resolver, err := base.resolverMount(c, dir)
	if err != nil {
		return nil, c.locate(err)
	}
	mounts = append(mounts, resolver...)
	s, warnings, err := c.spec(args, o, mounts)
	if err != nil {
		return nil, err
	}
	if c.Init && len(o.InitProgram) == 0 {
		return nil, c.locate(wrong("init", "this zbox has no program for it"))
	}
	b, err := openBundle(dir, s)
	if err != nil {
		return nil, fmt.Errorf("making the bundle: %w", err)
	}
	defer b.root.Close()
	if c.Init {
		b.init = o.InitProgram
	}
	if len(resolver) > 0 {
		err = b.writeFile(resolverFile, []byte(c.resolvConf(o)), 0o644)
		b.madeResolver = err == nil
	}
	if err == nil {
		err = b.write(s, c.skeleton(base, o))
	}
	if err != nil {
		b.remove(dir)
		return nil, fmt.Errorf("writing the bundle: %w", err)
	}
	warnings = append(warnings, base.warnings()...)
	return append(warnings, b.warnings...), nil
}

// bundle is a bundle's directory while it is written.
type bundle struct {
	root     *os.Root
	uid, gid int // of the sandbox's root; -1 when that is the caller
	warnings []string
	init     []byte // nil for none
	// What of it is ours to remove.
	madeDir, madeRootfs, madeInit, madeResolver bool
}

func openBundle(dir string, s *specs.Spec) (*bundle, error) {
	b := &bundle{uid: -1, gid: -1}
	if ids := s.Linux.UIDMappings[0]; ids.Size > 1 {
		b.uid, b.gid = int(ids.HostID), int(s.Linux.GIDMappings[0].HostID)
	}
	err := os.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	b.madeDir = err == nil
	if b.root, err = os.OpenRoot(dir); err != nil {
		return nil, err
	}
	if err := b.letIn(dir); err != nil {
		b.root.Close()
		b.remove(dir)
		return nil, err
	}
	return b, nil
}

// letIn lets the sandbox's root pass through the directory: runc opens the rootfs from inside the user namespace. A directory that
// was there before keeps its mode.
func (b *bundle) letIn(dir string) error {
	if b.gid < 0 {
		return nil
	}
	if b.madeDir {
		if err := b.root.Chown(".", -1, b.gid); err != nil {
			return err
		}
		return b.root.Chmod(".", 0o710)
	}
	info, err := b.root.Stat(".")
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o001 == 0 {
		b.warnings = append(b.warnings, fmt.Sprintf("%s: uid %d, the sandbox's root, cannot pass through: runtimes that open the rootfs from inside need mode 711", dir, b.uid))
	}
	return nil
}

// write makes the rootfs and then config.json, so that a bundle with a config.json is complete.
func (b *bundle) write(s *specs.Spec, entries []entry) error {
	if err := b.root.Mkdir(rootfsDir, 0o755); err != nil {
		return err
	}
	b.madeRootfs = true
	if err := b.adopt(rootfsDir, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if err := b.writeEntry(e); err != nil {
			return err
		}
	}
	if b.init != nil {
		if err := b.writeFile(initFile, b.init, 0o755); err != nil {
			return err
		}
		b.madeInit = true
		if err := b.root.Chmod(initFile, 0o755); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "\t")
	if err := enc.Encode(s); err != nil {
		return err
	}
	return b.writeFile(configFile, text.Bytes(), 0o600)
}

func (b *bundle) writeEntry(e entry) error {
	name := path.Join(rootfsDir, e.path)
	perm := e.mode & (fs.ModePerm | fs.ModeSticky)
	switch e.mode.Type() {
	case fs.ModeDir:
		if err := b.root.Mkdir(name, perm.Perm()); err != nil {
			return err
		}
		return b.adopt(name, perm)
	case fs.ModeSymlink:
		return b.root.Symlink(e.content, name)
	default:
		if err := b.writeFile(name, []byte(e.content), perm); err != nil {
			return err
		}
		return b.adopt(name, perm)
	}
}

// writeFile makes a new file: O_EXCL also refuses a link in its place (open(2)).
func (b *bundle) writeFile(name string, content []byte, perm fs.FileMode) error {
	f, err := b.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = b.root.Remove(name)
	}
	return err
}

// adopt gives what was just made to the sandbox's root, whatever the umask.
func (b *bundle) adopt(name string, perm fs.FileMode) error {
	if b.uid >= 0 {
		if err := b.root.Lchown(name, b.uid, b.gid); err != nil {
			return err
		}
	}
	return b.root.Chmod(name, perm)
}

// remove takes back what was made; what cannot be removed stays.
func (b *bundle) remove(dir string) {
	if b.madeResolver {
		_ = b.root.Remove(resolverFile)
	}
	if b.madeRootfs {
		_ = b.root.RemoveAll(rootfsDir)
	}
	if b.madeInit {
		_ = b.root.Remove(initFile)
	}
	if b.madeDir {
		_ = os.Remove(dir)
	}
}
