package translate

import (
	"io/fs"
	"path"
	"strings"
)

// entry is a file, directory or symbolic link that Bundle makes.
type entry struct {
	path     string // relative to the rootfs, or to the skeleton
	mode     fs.FileMode
	content  string // of a file, or the target of a link
	uid, gid uint32 // inside
}

const dirMode = fs.ModeDir | 0o755

// skeleton is the layer over base that Bundle makes. All mount points are there, so that no runtime makes any elsewhere. A directory that
// base has, too, looks as it does there.
type skeleton struct {
	base    *base
	mounts  []*hostMount
	entries []entry
	kinds   map[string]fs.FileMode // by path: what is there already
}

// skeletonOf is a minimal /etc and /bin, as far as b does not have them, and the mount points. Nothing is copied from the host: the names
// of its users are none of the sandbox's business, and its resolver often is one that does not answer there.
func (c *Config) skeletonOf(p *parts, o Options) []entry {
	b := p.base
	s := &skeleton{base: b, mounts: p.mounts, kinds: map[string]fs.FileMode{"": fs.ModeDir}}
	// The kernel's own are mounted on directories, whatever base has there.
	s.put(entry{path: "dev", mode: dirMode})
	s.put(entry{path: "proc", mode: fs.ModeDir | 0o555})
	s.put(entry{path: "sys", mode: fs.ModeDir | 0o555})
	// runc gives a tmpfs the mode of the directory under it.
	s.put(entry{path: strings.TrimPrefix(b.physical("tmp"), "/"), mode: fs.ModeDir | fs.ModeSticky | 0o777})
	for _, m := range p.mounts {
		s.mountPoint(m.target, m.isDir)
	}
	s.mountPoint(c.target(), false)
	for _, f := range p.needs {
		s.mountPoint(f.target, false)
	}
	s.mountPoint(p.physical(c.cwd()), true) // made when it is missing, also where nothing can be written
	c.etc(s, o)
	if o.Portable {
		s.top()
	}
	if path.Base(c.target()) == "busybox" && !b.has("bin") {
		for name := range strings.FieldsSeq(busyboxNames) {
			s.put(entry{path: "bin/" + name, mode: fs.ModeSymlink, content: "busybox"})
		}
	}
	return s.entries
}

// top adds what base has directly below its root, for runtimes that see the rootfs itself (nsexec/stage/layers.c). Files are left out: they would
// hide those of base.
func (s *skeleton) top() {
	for _, e := range s.base.entries() {
		switch e.Type() {
		case fs.ModeDir:
			s.makeDir(e.Name())
		case fs.ModeSymlink:
			if target := s.base.readlink(e.Name()); target != "" {
				s.put(entry{path: e.Name(), mode: fs.ModeSymlink, content: target})
			}
		}
	}
}

// put adds an entry with its parents, unless its path is taken.
func (s *skeleton) put(e entry) {
	if _, taken := s.kinds[e.path]; taken || !s.makeDir(parent(e.path)) {
		return
	}
	s.kinds[e.path] = e.mode.Type()
	s.entries = append(s.entries, e)
}

func parent(name string) string {
	if dir := path.Dir(name); dir != "." {
		return dir
	}
	return ""
}

func (s *skeleton) makeDir(name string) bool {
	if kind, there := s.kinds[name]; there {
		return kind == fs.ModeDir
	}
	e := entry{path: name, mode: dirMode}
	if info := s.base.stat(name); info != nil {
		e.mode = fs.ModeDir | info.Mode()&(fs.ModePerm|fs.ModeSticky|fs.ModeSetgid)
		uid, gid := owner(info)
		e.uid, e.gid = insideID(uid, s.base.uid), insideID(gid, s.base.gid)
	}
	s.put(e)
	return s.kinds[name] == fs.ModeDir
}

// mountPoint adds what a mount needs under it. In another mount it is there already, and on the fresh /tmp the runtime makes it.
func (s *skeleton) mountPoint(target string, dir bool) {
	if holder(s.mounts, target) != nil {
		return
	}
	name := strings.TrimPrefix(s.base.physical(target), "/")
	if name == "tmp" || strings.HasPrefix(name, "tmp/") || name == "" {
		return
	}
	e := entry{path: name, mode: 0o755}
	if dir {
		s.makeDir(name)
		return
	}
	s.put(e)
}

// etc is what names the sandbox, always its own, and its users where base has none.
func (c *Config) etc(s *skeleton, o Options) {
	host := c.hostname()
	dir := strings.TrimPrefix(s.base.physical("etc"), "/")
	put := func(name, content string) {
		s.put(entry{path: path.Join(dir, name), mode: 0o644, content: content})
	}
	if !s.base.has("etc/passwd") {
		put("passwd", "root:x:0:0:root:"+homeDir+":/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
	}
	if !s.base.has("etc/group") {
		put("group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n")
	}
	put("hostname", host+"\n")
	put("hosts", "127.0.0.1\tlocalhost "+host+"\n::1\tlocalhost\n")
	put("resolv.conf", c.resolvConf(o))
}

// busyboxNames are what scripts start most, of what every busybox contains; "ip" is the one that the seed linked. The list is short because
// making a link is the slowest part of Bundle, and because the shells of Debian's and Ubuntu's busybox know all its programs without links.
const busyboxNames = `ash awk cat chmod cp cut date env find grep head hostname id ip ls mkdir mv ps rm sed sh sleep sort tail touch tr
	wc xargs`
