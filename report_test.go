package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newTestReport takes the globals of args and a clock that stands still.
func newTestReport(t *testing.T, args string) (*report, *bytes.Buffer) {
	t.Helper()
	inv, err := takeApart(strings.Fields(args))
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	rep, err := newReport(inv, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	rep.now = func() time.Time { return time.Date(2026, 5, 4, 3, 2, 1, 999, time.FixedZone("", 3600)) }
	return rep, &stderr
}

func TestErrorIsOneLineAndOneRecord(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log.json")
	rep, stderr := newTestReport(t, "--log file:"+log+" --log-format json state web")
	rep.warn("mounts[3]: option x is ignored")
	rep.debug("not asked for")
	rep.error("create web", errors.New("config.json: mounts[7] (/data): open source: no such file or directory"))

	want := "zbox: warning: mounts[3]: option x is ignored\n" +
		"zbox: create web: config.json: mounts[7] (/data): open source: no such file or directory\n"
	if stderr.String() != want {
		t.Errorf("stderr: got %q, want %q", stderr.String(), want)
	}
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	wantLog := `{"level":"error","msg":"create web: config.json: mounts[7] (/data): open source: no such file or directory","time":"2026-05-04T02:02:01Z"}` + "\n"
	if string(data) != wantLog {
		t.Errorf("log: got %q, want %q", data, wantLog)
	}
	// podman decodes the whole file as one object.
	if err := json.Unmarshal(data, &struct{}{}); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(log); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("log: mode %v, %v, want 0600", st.Mode().Perm(), err)
	}
}

func TestTextLogIsAppended(t *testing.T) {
	log := writeFile(t, "earlier\n")
	rep, _ := newTestReport(t, "--log "+log+" state web")
	rep.error("state web", errors.New(`no "x"`))
	data, _ := os.ReadFile(log)
	want := "earlier\ntime=\"2026-05-04T02:02:01Z\" level=error msg=\"state web: no \\\"x\\\"\"\n"
	if string(data) != want {
		t.Errorf("got %q, want %q", data, want)
	}
}

func TestLogLevels(t *testing.T) {
	tests := []struct{ flags, want string }{
		{"", "zbox: warning: w\n"},
		{"--log-level error", ""},
		{"--log-level warn", "zbox: warning: w\n"},
		{"--log-level info", "zbox: warning: w\n"},
		{"--log-level debug", "zbox: warning: w\nzbox: debug: d\n"},
		{"--debug", "zbox: warning: w\nzbox: debug: d\n"},
		{"--debug=false", "zbox: warning: w\n"},
	}
	for _, tt := range tests {
		rep, stderr := newTestReport(t, tt.flags+" state web")
		rep.warn("w")
		rep.debug("d")
		if stderr.String() != tt.want {
			t.Errorf("%s: got %q, want %q", tt.flags, stderr.String(), tt.want)
		}
	}
}

func TestErrorLineIsOneLine(t *testing.T) {
	rep, stderr := newTestReport(t, "state web")
	rep.error("create a\nb", errors.New("open \x1b[2J/ü\t\"x\"\nsecond\n"))
	want := `zbox: create a\nb: open \x1b[2J/ü\t"x"\nsecond` + "\n"
	if stderr.String() != want {
		t.Errorf("got %q, want %q", stderr.String(), want)
	}
}

func TestErrorSaysWhenTheLogCannotBeWritten(t *testing.T) {
	rep, stderr := newTestReport(t, "--log /dev/full state web")
	rep.error("state web", errors.New("reason"))
	want := "zbox: state web: reason (and writing --log: write /dev/full: no space left on device)\n"
	if stderr.String() != want {
		t.Errorf("got %q, want %q", stderr.String(), want)
	}
}

func TestBadCommandLinesAreLoggedToo(t *testing.T) {
	tests := []struct {
		name, args string
		code       int
		want       string
	}{
		{"an unknown flag", "create --bogus web", 1, "create: flag provided but not defined: --bogus"},
		{"an unknown flag of exec", "exec --bogus web", 255, "exec: flag provided but not defined: --bogus"},
		{"an unknown command", "frobnicate web", 1, `unknown command "frobnicate" (zbox --help lists them)`},
		{"no ID", "create", 1, "create: container ID is missing"},
		{"two IDs", "start a b", 1, `start a: one container ID is needed, not 2 arguments: ["a" "b"]`},
		{"a bad number", "create --preserve-fds x web", 1, `create web: invalid value "x" for flag -preserve-fds: parse error`},
		{"too many descriptors", "create --preserve-fds -1 web", 1, "create web: --preserve-fds: -1 is not between 0 and 1048576"},
		{"a bad log level", "--log-level loud state web", 1, `state web: --log-level: "loud" is not error, warning, info or debug`},
		{"a bad cgroup manager", "--cgroup-manager foo state web", 1, `state web: --cgroup-manager: "foo" is not cgroupfs, systemd or disabled`},
		{"a bad rootless mode", "--rootless maybe state web", 1, `state web: --rootless: "maybe" is not true, false or auto`},
		{"an empty root", "--root= state web", 1, "state web: --root: empty path"},
		{"a bad format", "list -f yaml", 1, `list: --format: "yaml" is not table or json`},
		{"a bad signal", "kill web FOO", 1, `kill web: unknown signal "FOO"`},
		{"an operand too many", "list web", 1, `list web: unexpected argument "web"`},
		{"exec without a command", "--root /nowhere exec web", 255, "exec web: command is missing behind the container ID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			var stdout, stderr bytes.Buffer
			code := zbox(append([]string{"--log", log, "--log-format=json"}, strings.Fields(tt.args)...), &stdout, &stderr)
			if code != tt.code || stderr.String() != "zbox: "+tt.want+"\n" || stdout.Len() > 0 {
				t.Errorf("got %d %q %q, want %d %q", code, stderr.String(), stdout.String(), tt.code, tt.want)
			}
			var record struct{ Level, Msg, Time string }
			data, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &record); err != nil {
				t.Fatalf("%v: %q", err, data)
			}
			if record.Level != "error" || record.Msg != tt.want {
				t.Errorf("log: got %+v", record)
			}
			if _, err := time.Parse(time.RFC3339, record.Time); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUnusableLogIsAnError(t *testing.T) {
	for log, want := range map[string]string{
		"/nowhere/log":  "zbox: state web: opening --log: open /nowhere/log: no such file or directory\n",
		"journald:name": "zbox: state web: --log: journald is not supported; give a file\n",
		"syslog:name":   "zbox: state web: --log: syslog is not supported; give a file\n",
	} {
		var stderr bytes.Buffer
		if code := zbox([]string{"--log", log, "state", "web"}, &bytes.Buffer{}, &stderr); code != 1 || stderr.String() != want {
			t.Errorf("got %d %q, want 1 %q", code, stderr.String(), want)
		}
	}
}

func TestExitCode(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name, command string
		err           error
		code          int
		reported      bool
	}{
		{"success", "run", nil, 0, false},
		{"the process's own code", "run", processStatus(3), 3, false},
		{"a process ended by a signal", "exec", processStatus(128 + 9), 137, false},
		{"a wrapped status", "run", fmt.Errorf("x: %w", processStatus(4)), 4, false},
		{"zbox failed", "create", broken, 1, true},
		{"zbox failed to run", "run", broken, 1, true},
		{"zbox failed to exec", "exec", broken, 255, true},
		{"no command", "", broken, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, reported := exitCode(tt.command, tt.err)
			if code != tt.code || reported != tt.reported {
				t.Errorf("got %d %v, want %d %v", code, reported, tt.code, tt.reported)
			}
		})
	}
}
