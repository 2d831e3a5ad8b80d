package cgroup

import (
	"bytes"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestSystemdProperties(t *testing.T) {
	tests := []struct{ name, key, value, prop, want, err string }{
		{name: "text", key: "CollectMode", value: "'inactive-or-failed'", prop: "CollectMode", want: `"inactive-or-failed"`},
		{name: "number with type", key: "CPUWeight", value: "uint64 55", prop: "CPUWeight", want: "@t 55"},
		{name: "seconds", key: "TimeoutStopSec", value: "12", prop: "TimeoutStopUSec", want: "@t 12000000"},
		{name: "parts of seconds", key: "TimeoutStopSec", value: "1.5", prop: "TimeoutStopUSec", want: "@t 1500000"},
		{name: "microseconds", key: "TimeoutStopUSec", value: "uint64 12", prop: "TimeoutStopUSec", want: "@t 12"},
		{
			name: "seconds that are text", key: "TimeoutStopSec", value: "'1min'",
			err: `annotations["org.systemd.property.TimeoutStopSec"]: "1min" is not a number of seconds`,
		},
		{name: "bad name", key: "Exec-Start", value: "1", err: `annotations["org.systemd.property.Exec-Start"]: "Exec-Start" is not a property name`},
		{name: "short name", key: "Se", value: "1", err: `annotations["org.systemd.property.Se"]: "Se" is not a property name`},
		{name: "only a suffix", key: "Sec", value: "uint64 1", prop: "Sec", want: "@t 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			props, err := properties(map[string]string{propertyPrefix + tt.key: tt.value, "other": "x"})
			if text(err) != tt.err {
				t.Fatalf("error %q, want %q", text(err), tt.err)
			}
			if err == nil && (len(props) != 1 || props[0].Name != tt.prop || props[0].Value.String() != tt.want) {
				t.Errorf("got %v, want %s=%s", props, tt.prop, tt.want)
			}
		})
	}
}

func TestSystemdUnitName(t *testing.T) {
	tests := []struct{ name, path, want, err string }{
		{name: "default", want: "|zbox|web"},
		{name: "all parts", path: "machine.slice:libpod:web", want: "machine.slice|libpod|web"},
		{name: "no slice", path: ":docker:web", want: "|docker|web"},
		{name: "not of this form", path: "/machine/web", err: `linux.cgroupsPath: "/machine/web" is not slice:prefix:name, which systemd needs`},
		{name: "no name", path: "a.slice:x:", err: `linux.cgroupsPath: "a.slice:x:" is not slice:prefix:name, which systemd needs`},
		{name: "bad slice", path: "machine:x:y", err: "linux.cgroupsPath: invalid slice name: machine"},
		{name: "escape", path: "a.slice:x:../../y", err: `linux.cgroupsPath: "a.slice:x:../../y": a unit name has no slash`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &Cgroup{config: &cgroups.Cgroup{}}
			err := c.nameUnit(Config{ID: "web", Path: tt.path})
			if text(err) != tt.err {
				t.Fatalf("error %q, want %q", text(err), tt.err)
			}
			if got := strings.Join([]string{c.saved.Slice, c.saved.Prefix, c.saved.Name}, "|"); err == nil && got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestSystemdThatDoesNotAnswerIsAnErrorInTime talks to a bus that accepts connections and then says nothing.
func TestSystemdThatDoesNotAnswerIsAnErrorInTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+path)
	defer func(old string) { privateSocket = old }(privateSocket)
	privateSocket = path
	patience := connectPatience
	defer func() { connectPatience = patience }()
	connectPatience = 100 * time.Millisecond
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+path)
	for name, connect := range map[string]func(t *testing.T) error{
		"v1":   func(*testing.T) error { return reachable(false) },
		"v2":   func(*testing.T) error { _, err := dialManager(false); return err },
		"user": func(*testing.T) error { _, err := dialManager(true); return err },
		"v2, without a bus": func(t *testing.T) error {
			t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "")
			_, err := dialManager(false)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			err := connect(t)
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %v", took)
			}
			if err == nil || !strings.HasPrefix(err.Error(), "connecting to systemd: ") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestSystemdWithoutUserBus(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/does/not/exist")
	want := "connecting to systemd: dial unix /does/not/exist: connect: no such file or directory"
	if err := reachable(true); text(err) != want {
		t.Errorf("error %q, want %q", text(err), want)
	}
}

// spy is a socket that hands everything on to systemd's own, and keeps what is said to systemd.
func spy(t *testing.T) (path string, heard func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "private")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	var mu sync.Mutex
	var said bytes.Buffer
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			manager, err := net.Dial("unix", "/run/systemd/private")
			if err != nil {
				conn.Close()
				return
			}
			go func() { _, _ = io.Copy(conn, manager); conn.Close() }()
			go func() {
				buf := make([]byte, 64<<10)
				for {
					n, err := conn.Read(buf)
					mu.Lock()
					said.Write(buf[:n])
					mu.Unlock()
					if _, werr := manager.Write(buf[:n]); err != nil || werr != nil {
						manager.Close()
						return
					}
				}
			}()
		}
	}()
	return path, func() string {
		mu.Lock()
		defer mu.Unlock()
		return said.String()
	}
}

func TestRootStartsAScopeWithOneRequestOfSystemdItself(t *testing.T) {
	if !systemd.IsRunningSystemd() || !probe(t).Unified {
		t.Skip("this machine was not booted with systemd and cgroup v2")
	}
	path, heard := spy(t)
	defer func(old string) { privateSocket = old }(privateSocket)
	privateSocket = path
	c := create(t, Config{Driver: Systemd, Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}}})
	cmd := sleeper(t, c)
	if got := read(t, c, "memory", "memory.max"); got != "67108864" {
		t.Errorf("memory.max %s", got)
	}
	said := heard()
	if n := strings.Count(said, "StartTransientUnit"); n != 1 || strings.Contains(said, "SetUnitProperties") || !strings.Contains(said, "MemoryMax") {
		t.Errorf("%d units were started, and systemd was told %q", n, said)
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if err := c.Destroy(); err != nil {
		t.Fatal(err)
	}
}

// TestSystemdScope needs a machine that was booted with systemd.
func TestSystemdScope(t *testing.T) {
	if !systemd.IsRunningSystemd() {
		t.Skip("this machine was not booted with systemd")
	}
	id := testID(t)
	c := create(t, Config{
		ID: id, Driver: Systemd, Path: "zboxtest.slice:zt:" + id,
		Annotations: map[string]string{"org.systemd.property.TimeoutStopSec": "7"},
		Resources: &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}, Pids: &specs.LinuxPids{Limit: ptr(int64(20))},
		},
	})
	if dir, err := c.Dir(); dir != nil || err != nil || c.Exists() {
		t.Errorf("directory %v, %v, exists %v before Join", dir, err, c.Exists())
	}
	cmd := sleeper(t, c)
	if want := "/zboxtest.slice/zt-" + id + ".scope"; c.Path() != want {
		t.Errorf("path %s, want %s", c.Path(), want)
	}
	if got := read(t, c, "memory", "memory.max"); got != "67108864" {
		t.Errorf("memory.max %s", got)
	}
	again, err := Load(c.Saved())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Update(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(30))}}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, c, "pids", "pids.max"); got != "30" {
		t.Errorf("pids.max %s, want 30", got)
	}
	if got := read(t, c, "memory", "memory.max"); got != "67108864" {
		t.Errorf("memory.max %s after an update of pids", got)
	}
	if err := again.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := again.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); text(err) != "signal: killed" {
		t.Errorf("process ended with %v, want signal: killed", err)
	}
	for range 2 {
		if err := again.Destroy(); err != nil {
			t.Fatal(err)
		}
	}
	if c.Exists() {
		t.Error("exists after Destroy")
	}
}

func TestSystemdScopeWithALimitThatCannotBeAppliedIsStopped(t *testing.T) {
	if !systemd.IsRunningSystemd() {
		t.Skip("this machine was not booted with systemd")
	}
	c := create(t, Config{Driver: Systemd, Resources: &specs.LinuxResources{Unified: map[string]string{"memory.nothing": "1"}}})
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{viewVariable + "=sleep"}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err = c.Join(cmd.Process.Pid)
	want := `linux.resources.unified["memory.nothing"]: this kernel has no memory.nothing`
	if text(err) != want {
		t.Errorf("error %q, want %q", text(err), want)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process survived its scope")
	}
	if c.Exists() {
		t.Error("the scope is left")
	}
}
