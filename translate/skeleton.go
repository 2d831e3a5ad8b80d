package translate

import (
	"io/fs"
	"path"
	"strings"
)

// entry is a file, directory or symbolic link of the rootfs.
type entry struct {
	path    string // relative to the rootfs
	mode    fs.FileMode
	content string // of a file, or the target of a link
}

// skeleton is the rootfs: the mount points and, for what b, the content of root, does not have, a minimal /etc and /bin. Nothing is copied
// from the host: the names of its users are none of the sandbox's business, and its resolver often is one that does not answer there.
func (c *Config) skeleton(b *base, o Options) []entry {
	entries := []entry{
		{path: "dev", mode: fs.ModeDir | 0o755},
		{path: "proc", mode: fs.ModeDir | 0o555},
		{path: "sys", mode: fs.ModeDir | 0o555},
		// runc gives a tmpfs the mode of the directory under it.
		{path: "tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777},
	}
	entries = append(entries, b.entries()...)
	if !b.has("etc") {
		entries = append(entries, c.etc(o)...)
	}
	if !b.has("bin") {
		entries = append(entries, c.bin()...)
	}
	return entries
}

func (c *Config) etc(o Options) []entry {
	host := c.hostname()
	return []entry{
		{path: "etc", mode: fs.ModeDir | 0o755},
		{path: "etc/passwd", mode: 0o644, content: "root:x:0:0:root:" + homeDir + ":/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"},
		{path: "etc/group", mode: 0o644, content: "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"},
		{path: "etc/hostname", mode: 0o644, content: host + "\n"},
		{path: "etc/hosts", mode: 0o644, content: "127.0.0.1\tlocalhost " + host + "\n::1\tlocalhost\n"},
		{path: "etc/resolv.conf", mode: 0o644, content: c.resolvConf(o)},
	}
}

// bin is the file that the program is bound on; busybox also gets its usual names, for scripts with `#!/bin/sh` and for programs that start
// others.
func (c *Config) bin() []entry {
	program := path.Base(c.target())
	entries := []entry{
		{path: "bin", mode: fs.ModeDir | 0o755},
		{path: path.Join("bin", program), mode: 0o755},
	}
	if program != "busybox" {
		return entries
	}
	for name := range strings.FieldsSeq(busyboxNames) {
		entries = append(entries, entry{path: path.Join("bin", name), mode: fs.ModeSymlink, content: program})
	}
	return entries
}

// busyboxNames are what scripts start most, of what every busybox contains; "ip" is the one that the seed linked. The list is short because
// making a link is the slowest part of Bundle, and because the shells of Debian's and Ubuntu's busybox know all its programs without links.
const busyboxNames = `ash awk cat chmod cp cut date env find grep head hostname id ip ls mkdir mv ps rm sed sh sleep sort tail touch tr
	wc xargs`
