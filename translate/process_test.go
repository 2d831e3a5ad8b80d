package translate

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// parsed is the configuration of with, which must be right.
func parsed(t *testing.T, line string) *Config {
	t.Helper()
	c, err := Parse("c.json", []byte(with(line)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParseRefusesWhatNoProcessCanBe(t *testing.T) {
	cases := []struct{ name, line, want string }{
		{"an argument with a zero byte", `"args": ["a", "b\u0000"]`, `c.json:2:28: args[1]: "b\x00" holds a zero byte`},
		{"an argument that is a number", `"args": [1]`, `c.json:2:23: args[0]: a string is needed, not a number`},
		{"arguments that are no list", `"args": "sh"`, `c.json:2:22: args: a list of strings is needed, not a string`},
		{"env without a value", `"env": ["HOME"]`, `c.json:2:22: env[0]: "HOME" must be NAME=value`},
		{"env without a name", `"env": ["=x"]`, `c.json:2:22: env[0]: "=x" must be NAME=value`},
		{"env twice", `"env": ["A=1", "B=2", "A=3"]`, `c.json:2:36: env[2]: A is already set by env[0]`},
		{"env as an object", `"env": {"A": "1"}`, `c.json:2:21: env: a list of strings is needed, not an object`},
		{"cwd relative", `"cwd": "tmp"`, `c.json:2:21: cwd: "tmp" must be an absolute path`},
		{"hostname with a dash at its end", `"hostname": "a-"`, `c.json:2:26: hostname: "a-" must be 1 to 64 of a-z A-Z 0-9 . - and start and end with a letter or digit`},
		{"hostname of 65 bytes", `"hostname": "` + strings.Repeat("x", 65) + `"`, `c.json:2:26: hostname: "` + strings.Repeat("x", 65) + `" must be 1 to 64 of a-z A-Z 0-9 . - and start and end with a letter or digit`},
		{"uid above the range", `"uid": 65536`, `c.json:2:21: uid: 65536 is out of range 0 to 65535`},
		{"gid negative", `"gid": -1`, `c.json:2:21: gid: -1 is out of range 0 to 65535`},
		{"pids_limit zero", `"pids_limit": 0`, `c.json:2:28: pids_limit: 0 is out of range 1 to 4194304`},
		{"timeout_seconds negative", `"timeout_seconds": -1`, `c.json:2:33: timeout_seconds: -1 is out of range 0 to 31536000`},
		{"timeout_seconds as text", `"timeout_seconds": "5s"`, `c.json:2:33: timeout_seconds: a whole number from 0 to 31536000 is needed, not a string`},
		{"memory_swap_mb negative", `"memory_swap_mb": -1`, `c.json:2:32: memory_swap_mb: -1 is out of range 0 to 4294967295`},
		{"terminal as a number", `"terminal": 1`, `c.json:2:26: terminal: true, false or "auto" is needed, not a number`},
		{"rootless in other words", `"rootless": "yes"`, `c.json:2:26: rootless: "yes" is not true, false or "auto"`},
		{"strict as text", `"strict": "false"`, `c.json:2:24: strict: true or false is needed, not a string`},
		{"a capability that does not exist", `"capabilities": ["NET_RAWW"]`, `c.json:2:31: capabilities[0]: "NET_RAWW" is not a capability, did you mean "NET_RAW"?`},
		{"seccomp as a list", `"seccomp": []`, `c.json:2:25: seccomp: an object is needed, not a list`},
		{"a field of seccomp with a typing error", `"seccomp": {"denny": []}`, `c.json:2:26: seccomp: unknown field "denny", did you mean "deny"?`},
		{"allowing what is not refused", `"seccomp": {"allow": ["read"]}`, `c.json:2:36: seccomp.allow[0]: "read" is not refused: docs/sandbox.md has the list`},
		{"allowing with a typing error", `"seccomp": {"allow": ["ptrase"]}`, `c.json:2:36: seccomp.allow[0]: "ptrase" is not refused; did you mean "ptrace"?`},
		{"allowing and denying", `"seccomp": {"allow": ["ptrace"], "deny": ["ptrace"]}`, `c.json:2:36: seccomp.allow[0]: ptrace is also in seccomp.deny`},
		{"a profile and changes", `"seccomp": {"profile": "/p.json", "deny": ["read"]}`, `c.json:2:37: seccomp.profile: takes the place of the whole filter; deny and allow change the built-in one`},
		{"a profile by a relative path", `"seccomp": {"profile": "p.json"}`, `c.json:2:37: seccomp.profile: "p.json" must be an absolute path`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("c.json", []byte(with(`"name": "x", `+tc.line)))
			if got, _, _ := strings.Cut(fmt.Sprint(err), ", at: "); got != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestParseFillsDefaultsIn(t *testing.T) {
	c := parsed(t, `"name": "x"`)
	if !reflect.DeepEqual(c.Args, []string{"sh"}) || c.PidsLimit != 512 || c.Terminal != Auto || c.Rootless != Auto || !c.Strict || c.cwd() != "/" || c.Seccomp != nil {
		t.Errorf("got %+v", c)
	}
	c = parsed(t, `"name": "x", "args": [], "strict": false, "terminal": true, "rootless": false`)
	if len(c.Args) != 0 || c.Strict || c.Terminal != On || c.Rootless != Off {
		t.Errorf("got %+v", c)
	}
}

func TestSpecProcess(t *testing.T) {
	cases := []struct {
		name, line string
		opts       Options
		want       specs.Process
	}{
		{
			"nothing asked for", `"name": "x"`,
			Options{},
			specs.Process{Args: []string{"/bin/busybox", "sh"}, Env: []string{"PATH=" + searchPath, "HOME=/tmp"}, Cwd: "/"},
		},
		{
			"everything", `"name": "x", "args": ["a"], "env": ["A=b=c", "PATH=/bin"], "cwd": "/tmp", "uid": 5, "gid": 6, "terminal": true`,
			Options{},
			specs.Process{
				Args: []string{"/bin/busybox", "a"}, Env: []string{"HOME=/tmp", "TERM=xterm", "A=b=c", "PATH=/bin"}, Cwd: "/tmp",
				User: specs.User{UID: 5, GID: 6}, Terminal: true,
			},
		},
		{
			"no arguments at all", `"name": "x", "args": []`,
			Options{},
			specs.Process{Args: []string{"/bin/busybox"}, Env: []string{"PATH=" + searchPath, "HOME=/tmp"}, Cwd: "/"},
		},
		{
			"no terminal though there is one", `"name": "x", "terminal": false`,
			Options{Terminal: true, Term: "vt100"},
			specs.Process{Args: []string{"/bin/busybox", "sh"}, Env: []string{"PATH=" + searchPath, "HOME=/tmp"}, Cwd: "/"},
		},
		{
			"an init", `"name": "x", "init": true`,
			Options{},
			specs.Process{Args: []string{"/dev/init", "/bin/busybox", "sh"}, Env: []string{"PATH=" + searchPath, "HOME=/tmp"}, Cwd: "/"},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s, _, err := parsed(t, tc.line).Spec(nil, tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			tc.want.NoNewPrivileges, tc.want.Capabilities = true, &specs.LinuxCapabilities{}
			if !reflect.DeepEqual(*s.Process, tc.want) {
				t.Errorf("got  %+v\nwant %+v", *s.Process, tc.want)
			}
		})
	}
}

func TestSpecCapabilities(t *testing.T) {
	caps := []string{"CAP_NET_RAW", "CAP_CHOWN"}
	got := parsed(t, `"name": "x", "capabilities": ["net_raw", "CAP_CHOWN"]`).capabilities()
	if want := (&specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}); !reflect.DeepEqual(got, want) {
		t.Errorf("root: got %+v", got)
	}
	got = parsed(t, `"name": "x", "uid": 1, "capabilities": ["net_raw", "CAP_CHOWN"]`).capabilities()
	if want := (&specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps, Inheritable: caps, Ambient: caps}); !reflect.DeepEqual(got, want) {
		t.Errorf("another user: got %+v", got)
	}
}

func TestIDMapsOfACallerWithoutPrivileges(t *testing.T) {
	o := Options{UID: 1000, GID: 100, SubUID: IDRange{100000, 65536}, SubGID: IDRange{200000, 10}}
	m, err := parsed(t, `"name": "x", "uid": 65535, "gid": 10`).idMaps(o)
	if err != nil {
		t.Fatal(err)
	}
	want := idMaps{
		uids: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65535}},
		gids: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100, Size: 1}, {ContainerID: 1, HostID: 200000, Size: 10}},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v", m)
	}
	if _, err := parsed(t, `"name": "x", "gid": 11`).idMaps(o); err == nil || !strings.HasPrefix(err.Error(), "c.json:2:21: gid: 11 does not exist inside") {
		t.Errorf("a gid behind the range: %v", err)
	}
}

func TestProfileTakesThePlaceOfTheFilter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "profile.json")
	config := parsed(t, `"name": "x", "seccomp": {"profile": "`+path+`"}`)
	cases := []struct{ name, text, want string }{
		{"not there", "", "c.json:2:37: seccomp.profile: open " + path + ": no such file or directory"},
		{"docker's form", `{"defaultAction": "SCMP_ACT_ALLOW", "archMap": []}`, "c.json:2:37: seccomp.profile: " + path + `:1:37: unknown field "archMap"`},
		{"another action", `{"defaultAction": "ALLOW"}`, "c.json:2:37: seccomp.profile: " + path + `: linux.seccomp.defaultAction: unknown value "ALLOW"`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if tc.text != "" {
				if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, err := config.Spec(nil, Options{}); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
	text := `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["getpid"], "action": "SCMP_ACT_ERRNO"}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _, err := config.Spec(nil, Options{})
	if err != nil || len(s.Linux.Seccomp.Syscalls) != 1 || s.Linux.Seccomp.Syscalls[0].Names[0] != "getpid" {
		t.Errorf("got %+v, %v", s.Linux.Seccomp, err)
	}
}

func TestCheckCallsNamesTheUnknownOne(t *testing.T) {
	c := parsed(t, `"name": "x", "seccomp": {"deny": ["read", "reed"]}`)
	err := c.CheckCalls(func(name string) bool { return name == "read" }, "the test")
	if want := `c.json:2:43: seccomp.deny[1]: "reed" is not a system call that the test knows`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestStarterNamesTheSandboxAfterItsProgram(t *testing.T) {
	for program, want := range map[string]string{"busybox": "busybox", "g++": "g--", "..x": "x", "___": "sandbox", strings.Repeat("x", 99): strings.Repeat("x", 63)} {
		if got := starterName(program); got != want {
			t.Errorf("%q: got %q, want %q", program, got, want)
		}
	}
	if _, err := Starter("/nonexistent/program", "/tmp"); err == nil {
		t.Error("a program that is not there has a configuration")
	}
}
