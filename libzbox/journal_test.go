package libzbox

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newRuntime has a root of its own and collects its warnings.
func newRuntime(t *testing.T) (*Runtime, *[]string) {
	t.Helper()
	var warnings []string
	r, err := New(Options{Root: filepath.Join(t.TempDir(), "root"), CgroupManager: Disabled, Warn: func(line string) { warnings = append(warnings, line) }})
	if err != nil {
		t.Fatal(err)
	}
	return r, &warnings
}

// newContainer is a container that has a state directory, and its lock.
func newContainer(t *testing.T, r *Runtime, id string, p phase) *Container {
	t.Helper()
	c, err := r.makeStateDir(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.unlock)
	c.j = journal{Version: journalVersion, ID: id, OCIVersion: "1.3.0", Phase: p, Bundle: "/bundle"}
	c.j.Cgroup.Driver = "disabled"
	if err := c.writeJournal(); err != nil {
		t.Fatal(err)
	}
	return c
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestJournalIsReadAsItWasWritten(t *testing.T) {
	r, _ := newRuntime(t)
	c := newContainer(t, r, "web", phaseCreating)
	c.j = journal{
		Version: journalVersion, OCIVersion: "1.2.0", ID: "web", Bundle: "/b", Rootfs: "/b/rootfs",
		Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), OwnerUID: 7, Annotations: map[string]string{"a": "b\nc"},
		Phase: phaseStarting, Worker: processID{1, 2}, Init: processID{3, 4}, Steps: 5, Tail: []tailStep{{6, "hook", "hooks.startContainer[0]"}},
		Resctrl: "/sys/fs/resctrl/web", ResctrlMonitor: "/sys/fs/resctrl/web/mon_groups/web",
	}
	c.j.Cgroup.Driver = "disabled"
	if err := c.writeJournal(); err != nil {
		t.Fatal(err)
	}
	loaded, err := r.Load("web")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(loaded.j, c.j) {
		t.Errorf("got %+v, want %+v", loaded.j, c.j)
	}
	if st, err := os.Stat(filepath.Join(c.dir, journalFile)); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", st.Mode(), err)
	}
}

func TestReadJournal(t *testing.T) {
	created, started := `{"version":1,"id":"web","phase":"created"}`+"\n", `{"version":1,"id":"web","phase":"started"}`+"\n"
	for _, tt := range []struct {
		name, text string
		want       phase
		err        string
	}{
		{"one record", created, phaseCreated, ""},
		{"the last record counts", created + started, phaseStarted, ""},
		{"a record without its end does not count", created + started[:20], phaseCreated, ""},
		{"nothing written yet", "", "", "container does not exist"},
		{"half of the first record", created[:20], "", "container does not exist"},
		{"a container that is being deleted", `{"version":1,"phase":"deleted"}` + "\n", "", "container does not exist"},
		{"garbage", created + "garbage\n", "", "reading PATH: invalid character 'g' looking for beginning of value"},
		{"an empty line", created + "\n", "", "reading PATH: unexpected end of JSON input"},
		{"another version", `{"version":2}` + "\n", "", "PATH: version 2 is not known to this zbox"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := newRuntime(t)
			dir := filepath.Join(r.opts.Root, "web")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, journalFile)
			put(t, path, tt.text)
			c, err := r.Load("web")
			want := strings.ReplaceAll(tt.err, "PATH", path)
			if tt.err == "" {
				if err != nil || c.j.Phase != tt.want {
					t.Errorf("got %v, %v, want %s", c, err, tt.want)
				}
			} else if err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func TestStateFileThatIsALinkIsNotRead(t *testing.T) {
	r, _ := newRuntime(t)
	c := newContainer(t, r, "web", phaseCreated)
	path := filepath.Join(c.dir, journalFile)
	if err := os.Rename(path, path+".real"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path+".real", path); err != nil {
		t.Fatal(err)
	}
	want := "reading the state file: open " + path + ": too many levels of symbolic links"
	if _, err := r.Load("web"); err == nil || err.Error() != want {
		t.Errorf("load: got %v, want %s", err, want)
	}
	if err := c.writeJournal(); !errors.Is(err, unix.ELOOP) {
		t.Errorf("write: got %v, want ELOOP", err)
	}
}

func TestDeleteOfDamagedState(t *testing.T) {
	record := `{"version":1,"id":"web","phase":"created","cgroup":{"driver":"disabled"}}` + "\n"
	for _, tt := range []struct{ name, state, config, warning string }{
		{"an older record", record + "garbage\n", "", "cleaning up by an older record"},
		{"the configuration", "garbage\n", `{"ociVersion":"1.0.0"}`, "cleaning up by the saved configuration"},
		{"nothing", "garbage\n", "", "its processes and cgroup, if there are any, stay: reading the saved configuration: open DIR/config.json: no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, warnings := newRuntime(t)
			dir := filepath.Join(r.opts.Root, "web")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, journalFile), tt.state)
			if tt.config != "" {
				put(t, filepath.Join(dir, configFile), tt.config)
			}
			reason := "reading " + filepath.Join(dir, journalFile) + ": invalid character 'g' looking for beginning of value"
			if err := r.Delete("web", false); err == nil || err.Error() != reason+" (delete --force removes the container all the same)" {
				t.Errorf("delete: %v", err)
			}
			if err := r.Delete("web", true); err != nil {
				t.Errorf("delete --force: %v", err)
			}
			want := []string{"web: " + reason + ": " + strings.ReplaceAll(tt.warning, "DIR", dir)}
			if !reflect.DeepEqual(*warnings, want) {
				t.Errorf("warnings %q, want %q", *warnings, want)
			}
			if r.exists("web") {
				t.Error("the state directory is still there")
			}
		})
	}
}

func TestKilledDeleteIsResumedWithItsPoststopHooks(t *testing.T) {
	r, warnings := newRuntime(t)
	ran := filepath.Join(t.TempDir(), "ran")
	c := newContainer(t, r, "web", phaseDeleted)
	put(t, filepath.Join(c.dir, configFile), `{"ociVersion":"1.0.0","hooks":{"poststop":[{"path":"/bin/touch","args":["touch","`+ran+`"]},{"path":"/nowhere"}]}}`)
	c.j.Bundle = t.TempDir()
	if err := c.writeJournal(); err != nil {
		t.Fatal(err)
	}
	c.unlock()
	if err := r.Delete("web", true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(ran); err != nil {
		t.Errorf("poststop hook: %v", err)
	}
	if want := []string{"web: config.json: hooks.poststop[1]: /nowhere: fork/exec /nowhere: no such file or directory"}; !reflect.DeepEqual(*warnings, want) {
		t.Errorf("warnings %q, want %q", *warnings, want)
	}
}
