//go:build engines

package engines

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// archive is a root filesystem that is being written.
type archive struct {
	*tar.Writer
	err error
}

func (a *archive) add(h tar.Header, content string) {
	h.Size = int64(len(content))
	a.err = errors.Join(a.err, a.WriteHeader(&h))
	_, err := a.Write([]byte(content))
	a.err = errors.Join(a.err, err)
}

func (a *archive) text(name, content string) {
	a.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, content)
}

// program adds a program of the machine at its own path.
func (a *archive) program(path string) {
	content, err := os.ReadFile(path)
	a.err = errors.Join(a.err, err)
	a.add(tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(path, "/"), Mode: 0o755}, string(content))
}

// Image writes an image of busybox as the archive of a root filesystem.
func Image(path string) error { return write(path, func(*archive) {}) }

// SystemdImage is Image with systemd, which makes the file /ready and, asked to halt (SIGRTMIN+3), exits with 7.
func SystemdImage(path string) error {
	programs := []string{"/lib/systemd/systemd", "/lib/systemd/systemd-shutdown", "/usr/bin/systemctl", "/usr/bin/systemd-notify"}
	return write(path, func(a *archive) {
		added := map[string]bool{}
		for _, program := range programs {
			for _, file := range append([]string{program}, a.libraries(program)...) {
				if !added[file] {
					a.program(file)
				}
				added[file] = true
			}
		}
		a.text("etc/os-release", "ID=test\n")
		a.text("etc/machine-id", "")
		for name, command := range map[string]string{"default": "/bin/busybox touch /ready", "halt": "/usr/bin/systemctl exit --force 7"} {
			unit := "[Unit]\nDefaultDependencies=no\n"
			a.text("etc/systemd/system/"+name+".target", unit+"Requires="+name+".service\nAfter="+name+".service\n")
			a.text("etc/systemd/system/"+name+".service", unit+"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart="+command+"\n")
		}
	})
}

// libraries are what ldd(1) names for a program.
func (a *archive) libraries(program string) []string {
	out, err := exec.Command("ldd", program).Output()
	a.err = errors.Join(a.err, err)
	var found []string
	for word := range strings.FieldsSeq(string(out)) {
		if filepath.IsAbs(word) {
			found = append(found, word)
		}
	}
	return found
}

func write(path string, more func(a *archive)) error {
	var image bytes.Buffer
	a := &archive{Writer: tar.NewWriter(&image)}
	for _, dir := range []string{"bin", "dev", "etc", "proc", "root", "sys", "var"} {
		a.add(tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, "")
	}
	a.add(tar.Header{Typeflag: tar.TypeDir, Name: "tmp", Mode: 0o1777}, "")
	a.program("/bin/busybox")
	names, err := exec.Command("/bin/busybox", "--list").Output()
	a.err = errors.Join(a.err, err)
	for name := range strings.FieldsSeq(string(names)) {
		if name != "busybox" {
			a.add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}, "")
		}
	}
	a.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	a.text("etc/group", "root:x:0:\n")
	more(a)
	if err := errors.Join(a.err, a.Close()); err != nil {
		return err
	}
	return os.WriteFile(path, image.Bytes(), 0o644)
}
