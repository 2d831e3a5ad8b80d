package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

var applets = []string{
	"cat", "chmod", "chown", "date", "dd", "df", "echo", "env", "false", "grep", "head", "hostname", "id", "ip", "kill", "ln", "ls",
	"mkdir", "mknod", "mount", "mv", "nc", "nice", "ps", "pwd", "readlink", "rm", "rmdir", "sh", "sleep", "sort", "stat", "stty",
	"sync", "test", "touch", "true", "tty", "umount", "uname", "wc", "yes",
}

// base is the root filesystem that bundles are copied from, by hard links.
var base string

// makeBase builds a root filesystem of busybox, its applets and the probe.
func makeBase(dir, probe string) error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("finding busybox: %w", err)
	}
	for _, d := range []string{"bin", "dev", "etc", "proc", "root", "sys", "tmp", "mnt", "home/user"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{busybox: "bin/busybox", probe: "bin/probe"} {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, to), b, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"), 0o644); err != nil {
		return err
	}
	for _, name := range applets {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", name)); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(dir, "tmp"), 0o1777); err != nil {
		return err
	}
	base = dir
	return nil
}

// Bundle is an OCI bundle of its own directory.
type Bundle struct {
	Dir  string
	Spec *specs.Spec
	t    *testing.T
}

// NewBundle makes a bundle whose process is the probe, which prints what it sees, and lets mutations change its configuration.
func NewBundle(t *testing.T, mutations ...func(*specs.Spec)) *Bundle {
	t.Helper()
	b := &Bundle{Dir: t.TempDir(), Spec: defaultSpec(), t: t}
	// Go makes it 0700 under a 0700 parent; processes in user namespaces must be able to walk to the root filesystem.
	for _, dir := range []string{b.Dir, filepath.Dir(b.Dir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("cp", "-a", "-l", base, b.Rootfs()).CombinedOutput(); err != nil {
		t.Fatalf("copying the root filesystem: %v: %s", err, out)
	}
	b.Change(mutations...)
	return b
}

// Change applies mutations to the configuration and writes it.
func (b *Bundle) Change(mutations ...func(*specs.Spec)) {
	b.t.Helper()
	for _, mutate := range mutations {
		mutate(b.Spec)
	}
	out, err := json.MarshalIndent(b.Spec, "", "  ")
	if err != nil {
		b.t.Fatal(err)
	}
	b.WriteConfig(string(out))
}

// load reads the configuration back.
func (b *Bundle) load() {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.Dir, "config.json"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.Spec = &specs.Spec{}
	if err := json.Unmarshal(text, b.Spec); err != nil {
		b.t.Fatal(err)
	}
}

// WriteConfig writes config.json as it is.
func (b *Bundle) WriteConfig(text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.Dir, "config.json"), []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// Rootfs is the root filesystem's path, joined with elements below it.
func (b *Bundle) Rootfs(below ...string) string {
	return filepath.Join(append([]string{b.Dir, "rootfs"}, below...)...)
}

// WriteFile writes a file below the root filesystem, with its directories.
func (b *Bundle) WriteFile(path, text string, mode os.FileMode) {
	b.t.Helper()
	full := b.Rootfs(path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), mode); err != nil {
		b.t.Fatal(err)
	}
}

// Args sets the process's arguments.
func Args(args ...string) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Process.Args = args }
}

// Shell makes the process a shell script.
func Shell(script string) func(*specs.Spec) {
	return Args("/bin/sh", "-c", script)
}

// Sleep makes the process one that stays until it is killed.
func Sleep(s *specs.Spec) {
	s.Process.Args = []string{"/bin/sleep", "1000"}
}

// Mount appends mounts.
func Mount(mounts ...specs.Mount) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Mounts = append(s.Mounts, mounts...) }
}

// WithoutNamespace removes a namespace from the list.
func WithoutNamespace(kind specs.LinuxNamespaceType) func(*specs.Spec) {
	return func(s *specs.Spec) {
		var kept []specs.LinuxNamespace
		for _, ns := range s.Linux.Namespaces {
			if ns.Type != kind {
				kept = append(kept, ns)
			}
		}
		s.Linux.Namespaces = kept
	}
}

// WithNamespace appends a namespace; path may be empty.
func WithNamespace(kind specs.LinuxNamespaceType, path string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
	}
}

// WithUserNamespace adds a user namespace that maps container ids 0-65535 to host ids from 100000.
func WithUserNamespace(s *specs.Spec) {
	WithNamespace(specs.UserNamespace, "")(s)
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
}

// defaultSpec is the configuration that runc's and zbox's `spec` print, without the terminal.
func defaultSpec() *specs.Spec {
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	return &specs.Spec{
		Version:  "1.0.2",
		Root:     &specs.Root{Path: "rootfs"},
		Hostname: "integration",
		Process: &specs.Process{
			Args:            []string{"/bin/probe"},
			Env:             []string{"PATH=/bin", "TERM=xterm"},
			Cwd:             "/",
			NoNewPrivileges: true,
			Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}},
			Capabilities:    &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		},
		Linux: &specs.Linux{
			Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}},
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace},
				{Type: specs.NetworkNamespace},
				{Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.MountNamespace},
			},
			MaskedPaths:   []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
