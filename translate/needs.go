package translate

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// file is a file of the host that comes along, and where it is inside.
type file struct {
	source, target string
}

// maxInterpreters is how often an interpreter may have one itself (execve(2)).
const maxInterpreters = 4

// search finds what a program cannot start without: the interpreters of scripts, the loader, the libraries. Under a root with content it
// looks there; otherwise on the host, and what it finds comes along. In both cases what is mounted on a path is what is there.
type search struct {
	base   *base
	mounts []*hostMount
	binary string // for messages
	// unsure: a mount, LD_LIBRARY_PATH or what an earlier run wrote could have what was not found.
	unsure bool
	found  []file
	cache  *loaderCache
	loader loader
}

// elfObject is a loaded file. Host and inside differ where a program is shown in another directory than it has on the host, and with that for
// $ORIGIN.
type elfObject struct {
	*elfFile
	host, inside string // its directory
	loader       *elfObject
}

// needs lists what comes along with the program, or names what is missing.
func (c *Config) needs(b *base, mounts []*hostMount, p *program) ([]file, error) {
	s := &search{base: b, mounts: mounts, binary: c.Binary, unsure: c.keptSomething()}
	for _, e := range c.Env {
		s.unsure = s.unsure || strings.HasPrefix(e, "LD_LIBRARY_PATH=")
	}
	f, err := os.Open(p.path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil // executable but not readable: only execve will know
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	host := filepath.Dir(p.path)
	if b != nil {
		host = binDir
	}
	if err := s.program(f, host, binDir, 0); err != nil {
		return nil, err
	}
	for _, f := range s.found {
		if f.target == c.target() {
			return nil, fmt.Errorf("%s needs the host's %s, which has the same path inside as itself: give the program another name", c.Binary, f.target)
		}
	}
	return s.found, nil
}

// program finds what a file that is to be executed needs.
func (s *search) program(f *os.File, host, inside string, depth int) error {
	var head [256]byte
	n, err := f.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if line, ok := bytes.CutPrefix(head[:n], []byte("#!")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		return s.script(string(line), depth)
	}
	if !bytes.HasPrefix(head[:n], []byte("\x7fELF")) {
		return nil // execve will say what it thinks of it
	}
	e := readELF(f)
	if e == nil || e.interp == "" {
		return nil
	}
	return s.libraries(&elfObject{elfFile: e, host: host, inside: inside})
}

// script finds the interpreter that the first line of a script names, and the program that env(1) starts in its place.
func (s *search) script(line string, depth int) error {
	fields := strings.Fields(line)
	switch {
	case len(fields) == 0:
		return fmt.Errorf("%s: #! without an interpreter", s.binary)
	case strings.HasSuffix(line, "\r"):
		return fmt.Errorf("%s: its first line ends with CR LF, so that its interpreter would be %q: convert it with dos2unix", s.binary, fields[0]+"\r")
	case !path.IsAbs(fields[0]):
		return fmt.Errorf("%s: its interpreter %s is no absolute path", s.binary, shorten(fields[0]))
	case depth == maxInterpreters:
		return fmt.Errorf("%s: its interpreters are scripts, nested too deep", s.binary)
	}
	if err := s.interpreter(fields[0], depth); err != nil {
		return err
	}
	if path.Base(fields[0]) != "env" {
		return nil
	}
	for _, word := range fields[1:] {
		if strings.HasPrefix(word, "-") || strings.Contains(word, "=") {
			continue
		}
		return s.command(word, depth)
	}
	return nil
}

func (s *search) interpreter(name string, depth int) error {
	f, err := s.bring(name, name)
	if errors.Is(err, fs.ErrNotExist) {
		return s.missing("the interpreter " + name)
	}
	if err != nil {
		return fmt.Errorf("%s: its interpreter: %w", s.binary, err)
	}
	defer f.Close()
	return s.program(f, s.hostDir(f, name), path.Dir(name), depth+1)
}

// command finds a program by its name, for env(1).
func (s *search) command(name string, depth int) error {
	if strings.Contains(name, "/") {
		return s.interpreter(name, depth)
	}
	for _, dir := range strings.Split(searchPath, ":") {
		f, err := s.open(path.Join(dir, name), path.Join(dir, name))
		if err == nil {
			f.Close()
			return s.interpreter(path.Join(dir, name), depth)
		}
	}
	return s.missing("the program " + name + " (for env)")
}

// hostDir is the directory that $ORIGIN stands for: that of the file itself, not of a link to it.
func (s *search) hostDir(f *os.File, name string) string {
	if s.base == nil {
		if real, err := pathOf(f); err == nil {
			return path.Dir(real)
		}
	}
	return path.Dir(name)
}

// libraries finds the loader of a program and then all libraries, in the order in which the loader does.
func (s *search) libraries(main *elfObject) error {
	f, err := s.bring(main.interp, main.interp)
	if errors.Is(err, fs.ErrNotExist) {
		return s.missing("the loader " + main.interp)
	}
	if err != nil {
		return fmt.Errorf("%s: its loader: %w", s.binary, err)
	}
	s.loader = s.loaderOf(f, main)
	f.Close()
	loaded := map[string]bool{path.Base(main.interp): true}
	first := len(s.found)
	for queue := []*elfObject{main}; len(queue) > 0; queue = queue[1:] {
		for _, name := range queue[0].needed {
			if loaded[name] || s.loader.musl && isMuslOwn(name) {
				continue
			}
			loaded[name] = true
			lib, err := s.library(queue[0], name)
			if err != nil {
				return err
			}
			if lib != nil {
				queue = append(queue, lib)
			}
		}
	}
	s.settle(first)
	return nil
}

func (s *search) library(by *elfObject, name string) (*elfObject, error) {
	if strings.Contains(name, "/") {
		places := s.loader.expand(by, []string{path.Dir(name)})
		if lib := s.in(by, places, path.Base(name)); lib != nil {
			return lib, nil
		}
		return nil, s.missing("the library " + name)
	}
	places := s.loader.searchList(by)
	if lib := s.in(by, places, name); lib != nil {
		return lib, nil
	}
	if !s.loader.musl {
		for _, known := range s.loaderCache(by).find(name) {
			dir := path.Dir(known)
			if lib := s.in(by, []place{{host: dir, inside: dir}}, path.Base(known)); lib != nil {
				return lib, nil
			}
		}
	}
	for _, dir := range s.loader.dirs {
		places = append(places, place{host: dir, inside: dir})
	}
	if lib := s.in(by, places, name); lib != nil {
		return lib, nil
	}
	if lib := s.in(by, s.loader.special(places), name); lib != nil {
		return lib, nil
	}
	return nil, s.missing("the library " + name)
}

// in takes the first file of that name that fits, and from further places of the same directory all that do.
func (s *search) in(by *elfObject, places []place, name string) (first *elfObject) {
	for _, p := range places {
		if first != nil && !p.more {
			break
		}
		host, inside := path.Join(p.host, name), path.Join(p.inside, name)
		f, err := s.open(host, inside)
		if err != nil {
			continue
		}
		e := readELF(f)
		if e != nil && e.class == by.class && e.machine == by.machine {
			s.take(f, inside)
			if first == nil {
				first = &elfObject{elfFile: e, host: p.host, inside: p.inside, loader: by}
			}
		}
		f.Close()
	}
	return first
}

// settle moves what only the host's cache knew next to the C library: there is no cache inside, but that directory every loader knows.
func (s *search) settle(first int) {
	libc := ""
	for _, f := range s.found[first:] {
		if path.Base(f.target) == "libc.so.6" {
			libc = path.Dir(f.target)
		}
	}
	if libc == "" || s.cache == nil || s.base != nil {
		return
	}
	for i, f := range s.found[first:] {
		dir := path.Dir(f.target)
		if dir != libc && slices.Contains(s.cache.find(path.Base(f.target)), f.target) {
			s.found[first+i].target = path.Join(libc, path.Base(f.target))
		}
	}
}

func (s *search) loaderCache(by *elfObject) loaderCache {
	if s.cache == nil {
		s.cache = &loaderCache{}
		if f, err := s.open("/etc/ld.so.cache", "/etc/ld.so.cache"); err == nil {
			var order binary.ByteOrder = binary.LittleEndian
			if by.order == elf.ELFDATA2MSB {
				order = binary.BigEndian
			}
			*s.cache = readCache(f, order)
			f.Close()
		}
	}
	return *s.cache
}

// bring opens a file and takes it along.
func (s *search) bring(host, inside string) (*os.File, error) {
	f, err := s.open(host, inside)
	if err != nil {
		return nil, err
	}
	s.take(f, inside)
	return f, nil
}

// open opens what is under a path inside: a mount, the base, or without one what the host has.
func (s *search) open(host, inside string) (*os.File, error) {
	m := s.mounted(inside)
	switch {
	case m != nil && m.target == inside:
		return readRegular(m.handle, inside)
	case m != nil:
		s.unsure = true // links in there may lead anywhere
		return openRegular(m.handle, strings.TrimPrefix(inside, m.target+"/"))
	case s.base != nil:
		return openRegular(s.base.handle, inside)
	}
	f, err := os.OpenFile(host, unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("%s is not a regular file", inside)
	}
	return f, nil
}

func (s *search) mounted(name string) *hostMount {
	for _, m := range s.mounts {
		if m.target == name {
			return m
		}
	}
	return holder(s.mounts, name)
}

// take remembers an open file of the host that comes along; what is inside anyway does not.
func (s *search) take(f *os.File, inside string) {
	if s.base != nil || s.mounted(inside) != nil {
		return
	}
	real, err := pathOf(f)
	if err != nil || slices.ContainsFunc(s.found, func(f file) bool { return f.target == inside }) {
		return
	}
	s.found = append(s.found, file{source: real, target: inside})
}

// missing names what is not there, unless it could be.
func (s *search) missing(what string) error {
	if s.unsure {
		return nil
	}
	if s.base == nil {
		return fmt.Errorf("%s needs %s, which this host does not have: install it", s.binary, what)
	}
	return fmt.Errorf("%s needs %s, which root, %s, does not have: install it there, or use a statically linked program", s.binary, what, s.base.dir)
}

// binds show the files that come along.
func binds(files []file) []specs.Mount {
	var out []specs.Mount
	for _, f := range files {
		out = append(out, bindMount(f.source, f.target, "bind"))
	}
	return out
}
