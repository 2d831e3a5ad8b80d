package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

func TestList(t *testing.T) {
	r := New(t)
	t.Run("nothing", func(t *testing.T) {
		var none []State
		if err := json.Unmarshal([]byte(r.Must("list", "--format", "json")), &none); err != nil || len(none) != 0 {
			t.Errorf("list of nothing: %v, %v", none, err)
		}
		if got := r.Must("list", "--quiet"); got != "" {
			t.Errorf("quiet list of nothing: %q", got)
		}
	})
	one, two := running(t, r), created(t, r)
	t.Run("json", func(t *testing.T) {
		var all []State
		if err := json.Unmarshal([]byte(r.Must("list", "-f", "json")), &all); err != nil {
			t.Fatal(err)
		}
		status := map[string]string{}
		for _, s := range all {
			status[s.ID] = s.Status
		}
		if len(all) != 2 || status[one.ID] != "running" || status[two.ID] != "created" {
			t.Errorf("list %+v", all)
		}
	})
	t.Run("quiet", func(t *testing.T) {
		got := strings.Fields(r.Must("list", "-q"))
		if slices.Sort(got); !slices.Equal(got, []string{one.ID, two.ID}) {
			t.Errorf("list %v, want %s and %s", got, one.ID, two.ID)
		}
	})
	t.Run("table", func(t *testing.T) {
		lines := strings.Split(strings.TrimSpace(r.Must("list")), "\n")
		if want := "ID PID STATUS BUNDLE CREATED OWNER"; strings.Join(strings.Fields(lines[0]), " ") != want || len(lines) != 3 {
			t.Errorf("list\n%s", strings.Join(lines, "\n"))
		}
	})
}

func TestPs(t *testing.T) {
	r := New(t)
	c := r.Start(NewBundle(t, Shell("sleep 1007 & echo ready; wait")))
	Eventually(t, "it is ready", func() bool { return strings.Contains(c.Output(), "ready") })
	var pids []int
	if err := json.Unmarshal([]byte(r.Must("ps", "--format", "json", c.ID)), &pids); err != nil {
		t.Fatal(err)
	}
	if len(pids) != 2 || !slices.Contains(pids, c.Pid) {
		t.Errorf("pids %v, want %d and its child", pids, c.Pid)
	}
	table := r.Must("ps", "--format", "table", c.ID, "-ef")
	if !strings.Contains(table, "PID") || !strings.Contains(table, "sleep 1007") || strings.Count(table, "\n") != 3 {
		t.Errorf("table\n%s", table)
	}
	if full := r.Must("ps", c.ID); !strings.HasPrefix(full, "UID ") || !strings.Contains(full, "sleep 1007") {
		t.Errorf("table without options\n%s", full)
	}
}

func TestFeaturesDocument(t *testing.T) {
	r := New(t)
	res := r.Do("features")
	if res.Code != 0 || res.Stderr != "" {
		t.Fatalf("exit %d, stderr %q", res.Code, res.Stderr)
	}
	var f features.Features
	if err := json.Unmarshal([]byte(res.Stdout), &f); err != nil {
		t.Fatal(err)
	}
	if f.OCIVersionMin == "" || f.OCIVersionMax == "" {
		t.Errorf("versions %q to %q", f.OCIVersionMin, f.OCIVersionMax)
	}
	for _, hook := range []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"} {
		if !slices.Contains(f.Hooks, hook) {
			t.Errorf("hooks %v lack %s", f.Hooks, hook)
		}
	}
	for _, option := range []string{"ro", "rro", "bind", "rbind", "nosuid", "rslave", "noatime"} {
		if !slices.Contains(f.MountOptions, option) {
			t.Errorf("mount options lack %s", option)
		}
	}
	if !slices.Contains(f.Linux.Namespaces, "user") || !slices.Contains(f.Linux.Capabilities, "CAP_SYS_ADMIN") {
		t.Errorf("namespaces %v, capabilities %v", f.Linux.Namespaces, f.Linux.Capabilities)
	}
	if f.Linux.Seccomp == nil || f.Linux.Seccomp.Enabled == nil || !*f.Linux.Seccomp.Enabled || !slices.Contains(f.Linux.Seccomp.Actions, "SCMP_ACT_NOTIFY") {
		t.Errorf("seccomp %+v", f.Linux.Seccomp)
	}
	if f.Linux.Cgroup == nil || f.Linux.Cgroup.V1 == nil || f.Linux.Cgroup.V2 == nil {
		t.Errorf("cgroup %+v", f.Linux.Cgroup)
	}
}

func TestVersionIsReadableByEngines(t *testing.T) {
	r := New(t)
	for _, flag := range []string{"--version", "-v"} {
		res := r.Do(flag)
		lines := strings.Split(strings.TrimSpace(res.Stdout), "\n")
		if res.Code != 0 || res.Stderr != "" || !strings.Contains(lines[0], " version ") {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", flag, res.Code, res.Stdout, res.Stderr)
		}
		for _, line := range lines[1:] {
			if strings.Contains(line, "version") {
				t.Errorf("a second line has the word version: %s", line)
			}
		}
		if IsZbox() && !strings.Contains(res.Stdout, "\ncommit: ") {
			t.Errorf("no line with the commit: %s", res.Stdout)
		}
	}
}

func TestSpecWritesABundlesConfiguration(t *testing.T) {
	r := New(t)
	for name, flags := range map[string][]string{"as root": nil, "rootless": {"--rootless"}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r.Must(append([]string{"spec", "--bundle", dir}, flags...)...)
			var s specs.Spec
			text := r.read(filepath.Join(dir, "config.json"))
			if err := json.Unmarshal([]byte(text), &s); err != nil {
				t.Fatal(err)
			}
			if s.Process.Args[0] != "sh" || s.Root.Path != "rootfs" || len(s.Mounts) < 6 || (len(s.Linux.UIDMappings) == 1) != (flags != nil) {
				t.Errorf("config.json:\n%s", text)
			}
			r.Refuse(nil, append([]string{"spec", "--bundle", dir}, flags...)...)
		})
	}
}

func TestSpecsOwnConfigurationRuns(t *testing.T) {
	r := New(t)
	b := NewBundle(t)
	if err := os.Remove(filepath.Join(b.Dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	r.Must("spec", "--bundle", b.Dir)
	var s specs.Spec
	if err := json.Unmarshal([]byte(r.read(filepath.Join(b.Dir, "config.json"))), &s); err != nil {
		t.Fatal(err)
	}
	b.Spec = &s
	b.Change(Args("/bin/echo", "it runs"), func(s *specs.Spec) { s.Process.Terminal = false })
	if got := r.MustRun(b); got != "it runs\n" {
		t.Errorf("output %q", got)
	}
}

func TestErrorsAreLoggedAsOneJSONRecord(t *testing.T) {
	r := New(t)
	log := filepath.Join(t.TempDir(), "log.json")
	res := r.Do("--log", log, "--log-format", "json", "start", "missing")
	if res.Code != 1 {
		t.Errorf("exit %d, want 1", res.Code)
	}
	text := r.read(log)
	var record struct {
		Level string    `json:"level"`
		Msg   string    `json:"msg"`
		Time  time.Time `json:"time"`
	}
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	if record.Level != "error" || !strings.Contains(record.Msg, "container does not exist") || record.Time.IsZero() {
		t.Errorf("record %q", text)
	}
}

func TestSuccessLogsNoError(t *testing.T) {
	r := New(t)
	log := filepath.Join(t.TempDir(), "log.json")
	r.Must("--log", log, "--log-format", "json", "list")
	if text, err := os.ReadFile(log); err == nil && len(text) != 0 {
		t.Errorf("the log holds %q", text)
	}
}

func TestBrokenConfigurationIsRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		text string
		says []string
	}{
		{"syntax", "{\n  \"ociVersion\": \"1.0.2\",\n  \"process\": {,}\n}", []string{"config.json:3:15"}},
		{"type", "{\n  \"ociVersion\": \"1.0.2\",\n  \"root\": 5\n}", []string{"config.json:3"}},
		{"truncated", "{\"ociVersion\": \"1.0.2\"", []string{"config.json:1"}},
		{"empty", "", []string{"config.json"}},
		{"no version", "{}", []string{"ociVersion"}},
		{"version of the future", `{"ociVersion": "99.0.0"}`, []string{"99.0.0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(t)
			b := NewBundle(t)
			b.WriteConfig(test.text)
			id := r.Marker + "-broken"
			if !IsZbox() {
				test.says = nil
				if test.name == "version of the future" || test.name == "no version" {
					t.Skip("zbox only: runc 1.1 does not say what is wrong")
				}
			}
			r.Refuse(test.says, "create", "--bundle", b.Dir, id)
		})
	}
}

// What goes wrong at a step says its number, which explain says, too.
func TestErrorsHaveTheNumbersOfExplain(t *testing.T) {
	ZboxOnly(t, "explain is zbox's")
	for field, mutate := range map[string]func(*specs.Spec){
		"linux.namespaces[4].path": func(s *specs.Spec) {
			WithoutNamespace(specs.IPCNamespace)(s)
			WithNamespace(specs.IPCNamespace, "/missing")(s)
		},
		"mounts[6]":                        Mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: "/missing", Options: []string{"bind"}}),
		"hooks.createRuntime[0]":           func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}} },
		`linux.sysctl["net.ipv4.missing"]`: func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.missing": "1"} },
		"process.user":                     func(s *specs.Spec) { WithUserNamespace(s); s.Process.User.UID = 70000 },
		"process.args[0]":                  Args("/missing"),
		"process.capabilities":             func(s *specs.Spec) { s.Process.Capabilities.Inheritable = []string{"CAP_SYS_TIME"} }, // behind the start barrier
	} {
		t.Run(field, func(t *testing.T) {
			r := New(t)
			b := NewBundle(t, mutate)
			messages := []string{r.Run(b).Stderr}
			id := r.ID("explained")
			res := r.Do("create", "--bundle", b.Dir, id)
			if res.Code == 0 {
				res = r.Do("start", id)
			}
			messages = append(messages, res.Stderr)
			r.Must("delete", "--force", id) // explain refuses a cgroup in which a process still ends
			var steps []struct {
				Step   int
				Origin string
			}
			if err := json.Unmarshal([]byte(r.Must("explain", "--bundle", b.Dir, "--format", "json")), &steps); err != nil {
				t.Fatal(err)
			}
			text := r.Must("explain", "--bundle", b.Dir)
			if lines := strings.Count(text, "\n"); lines != len(steps) {
				t.Errorf("%d lines of text, %d steps of JSON", lines, len(steps))
			}
			for _, message := range messages {
				i := strings.LastIndex(message, "(step ")
				var n, of int
				if i < 0 {
					t.Fatalf("%q names no step", message)
				}
				if _, err := fmt.Sscanf(message[i:], "(step %d of %d)", &n, &of); err != nil || of != len(steps) || steps[n-1].Step != n {
					t.Errorf("%q does not count to %d: %v", message, len(steps), err)
				} else if steps[n-1].Origin != field || !strings.Contains(message, "config.json: "+field) {
					t.Errorf("%q is of %s, explain's step %d of %s", message, field, n, steps[n-1].Origin)
				}
				if strings.Count(message, "\n") != 1 {
					t.Errorf("%q is not one line", message)
				}
			}
		})
	}
}

func TestMissingBundleIsRefused(t *testing.T) {
	r := New(t)
	r.Refuse([]string{"no such file or directory"}, "create", "--bundle", "/no/such/bundle", r.Marker+"-none")
}

func TestUnknownPropertiesAreIgnored(t *testing.T) {
	r := New(t)
	b := NewBundle(t, Args("/bin/true"))
	var config map[string]any
	if err := json.Unmarshal([]byte(r.read(filepath.Join(b.Dir, "config.json"))), &config); err != nil {
		t.Fatal(err)
	}
	config["org.example.unknown"] = map[string]any{"a": 1}
	config["process"].(map[string]any)["unknown"] = true
	out, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	b.WriteConfig(string(out))
	r.MustRun(b)
}
