package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func pointer[T any](v T) *T { return &v }

// readCgroup reads a file of the container's version 1 cgroup.
func (c *Container) readCgroup(controller, file string) string {
	c.t.Helper()
	return strings.TrimSpace(c.read(filepath.Join("/sys/fs/cgroup", controller, c.ID, file)))
}

func withResources(resources specs.LinuxResources) func(*specs.Spec) {
	return func(s *specs.Spec) {
		if s.Linux.Resources != nil {
			resources.Devices = s.Linux.Resources.Devices
		}
		s.Linux.Resources = &resources
	}
}

func TestCgroupPathIsUsed(t *testing.T) {
	r := New(t)
	parent := "/" + r.Marker + "-parent"
	c := r.Start(NewBundle(t, Sleep, func(s *specs.Spec) { s.Linux.CgroupsPath = parent + "/child" }))
	text, err := os.ReadFile("/proc/" + strconv.Itoa(c.Pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), parent+"/child") {
		t.Errorf("cgroups of the process:\n%s", text)
	}
	c.Kill()
	c.Delete()
	// The parent was made for it, but may be shared with others: it stays, and is the test's to remove.
	removeCgroup(t, parent)
}

func removeCgroup(t *testing.T, path string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup" + path, "/sys/fs/cgroup/*" + path} {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
				t.Errorf("removing %s: %v", dir, err)
			}
		}
	}
}

func TestPausedProcessesDoNotRun(t *testing.T) {
	r := New(t)
	c := r.Start(NewBundle(t, Shell("while :; do echo x; sleep 0.01; done")))
	Eventually(t, "it writes", func() bool { return c.Output() != "" })
	r.Must("pause", c.ID)
	before := len(c.Output())
	r.Must("state", c.ID) // time in which it would write
	r.Must("state", c.ID)
	if after := len(c.Output()); after != before {
		t.Errorf("it wrote %d bytes while it was paused", after-before)
	}
	r.Must("resume", c.ID)
	Eventually(t, "it writes again", func() bool { return len(c.Output()) > before })
}

func TestKillReachesAPausedContainer(t *testing.T) {
	r := New(t)
	c := paused(t, r)
	r.Must("kill", c.ID, "KILL")
	if !IsZbox() {
		r.Do("resume", c.ID) // runc 1.1 may leave it frozen on version 1
	}
	c.WaitStopped()
}

func TestEventsStats(t *testing.T) {
	r := New(t)
	c := running(t, r)
	var event struct {
		Type string `json:"type"`
		ID   string `json:"id"`
		Data struct {
			CPU struct {
				Usage struct {
					Total uint64 `json:"total"`
				} `json:"usage"`
			} `json:"cpu"`
			Memory struct {
				Usage struct {
					Usage uint64 `json:"usage"`
				} `json:"usage"`
			} `json:"memory"`
			Pids struct {
				Current uint64 `json:"current"`
			} `json:"pids"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(r.Must("events", "--stats", c.ID)), &event); err != nil {
		t.Fatal(err)
	}
	if event.Type != "stats" || event.ID != c.ID {
		t.Errorf("event %+v", event)
	}
	if !CgroupV2() && (event.Data.CPU.Usage.Total == 0 || event.Data.Memory.Usage.Usage == 0 || event.Data.Pids.Current != 1) {
		t.Errorf("stats %+v", event.Data)
	}
}
