package crash

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A zbox that is killed between making the state directory and the first record leaves one of these.
func TestStateDirectoryWithoutARecord(t *testing.T) {
	integration.ZboxOnly(t, "knows the state directory")
	for _, tt := range []struct {
		name  string
		files map[string]string
	}{
		{"is empty", nil},
		{"has the configuration only", map[string]string{"config.json": "{}"}},
		{"has half a configuration", map[string]string{"config.json": `{"ociVersion":`}},
		{"has an empty state file", map[string]string{"config.json": "{}", "state.json": ""}},
		{"has half a record", map[string]string{"config.json": "{}", "state.json": `{"version":1,"id":`}},
		{"has files of a later zbox", map[string]string{"later": "x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := integration.New(t)
			b := integration.NewBundle(t)
			id := r.ID("unwritten")
			make := func() {
				if err := os.MkdirAll(filepath.Join(r.Root, id), 0o700); err != nil {
					t.Fatal(err)
				}
				for name, text := range tt.files {
					replace(t, filepath.Join(r.Root, id, name), text)
				}
			}
			make()
			r.Refuse([]string{"zbox: state " + id + ": container does not exist\n"}, "state", id)
			r.Refuse([]string{"zbox: kill " + id + ": container does not exist\n"}, "kill", id)
			r.Refuse([]string{"zbox: start " + id + ": container does not exist\n"}, "start", id)
			r.Refuse([]string{"zbox: create " + id + ": container with given ID already exists\n"}, "create", "--bundle", b.Dir, id)
			if list := r.Must("list", "--quiet"); list != "" {
				t.Errorf("list: %q", list)
			}
			r.Must("delete", id)
			r.Refuse([]string{"container does not exist"}, "delete", id)
			make()
			deleteOnce(t, r, b, id)
		})
	}
}

func TestRecordThatWasCutOffDoesNotCount(t *testing.T) {
	integration.ZboxOnly(t, "knows the state file")
	r := integration.New(t)
	c := r.Create(integration.NewBundle(t, integration.Sleep))
	appendTo(t, filepath.Join(r.Root, c.ID, "state.json"), `{"version":1,"phase":"star`)
	if s := c.State(); s.Status != "created" || s.Pid != c.Pid {
		t.Errorf("state: %+v", s)
	}
}

func TestDamagedState(t *testing.T) {
	integration.ZboxOnly(t, "knows the state file")
	for _, tt := range []struct {
		name, damage string
		replaced     bool
		reason       string
		warning      string
	}{
		{"the last record", "garbage\n", false, "invalid character 'g' looking for beginning of value", "cleaning up by an older record"},
		{"all records", "garbage\n", true, "invalid character 'g' looking for beginning of value", "cleaning up by the saved configuration"},
		{"another version", "{\"version\":99}\n", true, "version 99 is not known to this zbox", "cleaning up by the saved configuration"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := integration.New(t)
			b := integration.NewBundle(t, integration.Sleep)
			c := r.Start(b)
			path := filepath.Join(r.Root, c.ID, "state.json")
			if tt.replaced {
				replace(t, path, tt.damage)
			} else {
				appendTo(t, path, tt.damage)
			}
			for _, command := range []string{"state", "kill", "pause", "delete"} {
				r.Refuse([]string{path, tt.reason}, command, c.ID)
			}
			r.Refuse([]string{"(delete --force removes the container all the same)"}, "delete", c.ID)
			if res := r.Do("list", "--quiet"); res.Code != 0 || !strings.Contains(res.Stderr, path) {
				t.Errorf("list: exit %d: %s", res.Code, res.Stderr)
			}
			res := r.Do("delete", "--force", c.ID)
			if res.Code != 0 || strings.Count(res.Stderr, "\n") != 1 || !strings.Contains(res.Stderr, tt.reason+": "+tt.warning) {
				t.Errorf("delete --force: exit %d: %s", res.Code, res.Stderr)
			}
			c.WaitStopped()
			deleteOnce(t, r, b, c.ID)
		})
	}
}

func TestDamagedStateAndConfigurationGoWithAWarning(t *testing.T) {
	integration.ZboxOnly(t, "knows the state file")
	r := integration.New(t)
	b := integration.NewBundle(t)
	id := r.ID("lost")
	if err := os.MkdirAll(filepath.Join(r.Root, id), 0o700); err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(r.Root, id, "state.json"), "garbage\n")
	replace(t, filepath.Join(r.Root, id, "config.json"), "garbage\n")
	res := r.Do("delete", "--force", id)
	if res.Code != 0 || !strings.Contains(res.Stderr, "its processes and cgroup, if there are any, stay") {
		t.Errorf("delete --force: exit %d: %s", res.Code, res.Stderr)
	}
	deleteOnce(t, r, b, id)
}

// Where a link or another kind of file takes the place of the state, nothing outside of the state directory is touched.
func TestStateThatIsALinkIsRefused(t *testing.T) {
	integration.ZboxOnly(t, "knows the state file")
	r := integration.New(t)
	outside := t.TempDir()
	replace(t, filepath.Join(outside, "state.json"), "{}\n")
	if err := os.MkdirAll(r.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	id := r.Marker + "-link"
	if err := os.Symlink(outside, filepath.Join(r.Root, id)); err != nil {
		t.Fatal(err)
	}
	if res := r.Do("delete", "--force", id); res.Code == 0 {
		t.Errorf("delete --force of a link succeeded")
	}
	if _, err := os.Stat(filepath.Join(outside, "state.json")); err != nil {
		t.Error(err)
	}
	if err := unix.Unlink(filepath.Join(r.Root, id)); err != nil {
		t.Error(err)
	}
}
