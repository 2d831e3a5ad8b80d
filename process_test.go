package main

import (
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"
)

// CVE-2026-30892: a user that cannot be read must never become root.
func TestUser(t *testing.T) {
	const number = " is not a number from 0 to 4294967294"
	tests := []struct {
		name, text string
		uid, gid   uint32
		err        string
	}{
		{"uid", "1", 1, 6, ""},
		{"uid and gid", "1:2", 1, 2, ""},
		{"root, in full", "0:0", 0, 0, ""},
		{"the largest id", "4294967294:4294967294", 4294967294, 4294967294, ""},
		{"empty", "", 0, 0, `--user "": uid: ""` + number},
		{"no uid", ":1", 0, 0, `--user ":1": uid: ""` + number},
		{"no gid", "1:", 0, 0, `--user "1:": gid: ""` + number},
		{"trailing letter", "1x", 0, 0, `--user "1x": uid: "1x"` + number},
		{"a name", "root", 0, 0, `--user "root": uid: "root"` + number},
		{"a name for the group", "1:wheel", 0, 0, `--user "1:wheel": gid: "wheel"` + number},
		{"three parts", "1:2:3", 0, 0, `--user "1:2:3": gid: "2:3"` + number},
		{"no change", "4294967295", 0, 0, `--user "4294967295": uid: "4294967295"` + number},
		{"above 32 bits", "4294967296", 0, 0, `--user "4294967296": uid: "4294967296"` + number},
		{"above 64 bits", "18446744073709551616", 0, 0, `--user "18446744073709551616": uid: "18446744073709551616"` + number},
		{"negative", "-1", 0, 0, `--user "-1": uid: "-1"` + number},
		{"plus sign", "+1", 0, 0, `--user "+1": uid: "+1"` + number},
		{"space", " 1", 0, 0, `--user " 1": uid: " 1"` + number},
		{"leading zero", "010", 0, 0, `--user "010": uid: "010"` + number},
		{"hexadecimal", "0x10", 0, 0, `--user "0x10": uid: "0x10"` + number},
		{"underscore", "1_0", 0, 0, `--user "1_0": uid: "1_0"` + number},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			user := specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{7}}
			err := applyUser(&user, tt.text)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				if user.UID != 5 || user.GID != 6 {
					t.Errorf("the user was changed to %d:%d", user.UID, user.GID)
				}
				return
			}
			if err != nil || user.UID != tt.uid || user.GID != tt.gid || len(user.AdditionalGids) != 1 {
				t.Errorf("got %+v, %v, want %d:%d", user, err, tt.uid, tt.gid)
			}
		})
	}
}

// processOf is the process that a command line of exec asks for.
func processOf(t *testing.T, saved specs.Process, args ...string) (*specs.Process, error) {
	t.Helper()
	var p *specs.Process
	err := parse(t, append([]string{"--root", "/r", "exec"}, args...), func(c *cli.Context) (err error) {
		p, err = execProcess(c, func() (*specs.Spec, error) { return &specs.Spec{Process: &saved}, nil })
		return err
	})
	return p, err
}

func TestExecProcessFlags(t *testing.T) {
	saved := specs.Process{
		Terminal: true, ConsoleSize: &specs.Box{Height: 1, Width: 1}, Cwd: "/srv", Env: []string{"PATH=/bin", "A=1"},
		User: specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{7}}, ApparmorProfile: "old", SelinuxLabel: "old",
	}
	got, err := processOf(t, saved, "--cwd", "/tmp", "-e", "A=2,3", "--env=B=", "-u", "8:9", "-g", "10", "--additional-gids=11",
		"--process-label", "label", "--apparmor", "profile", "--no-new-privs", "web", "sh")
	if err != nil {
		t.Fatal(err)
	}
	want := &specs.Process{
		Args: []string{"sh"}, Cwd: "/tmp", Env: []string{"PATH=/bin", "A=2,3", "B="},
		User: specs.User{UID: 8, GID: 9, AdditionalGids: []uint32{7, 10, 11}}, ApparmorProfile: "profile", SelinuxLabel: "label",
		NoNewPrivileges: true,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if saved.Env[1] != "A=1" || len(saved.User.AdditionalGids) != 1 {
		t.Error("the saved configuration was changed")
	}
}

// CVE-2022-29162: --cap must not fill the inheritable set.
func TestExecCapabilities(t *testing.T) {
	const raw, admin = "CAP_NET_RAW", "CAP_SYS_ADMIN"
	tests := []struct {
		name  string
		saved *specs.LinuxCapabilities
		want  *specs.LinuxCapabilities
	}{
		{"none before", nil, &specs.LinuxCapabilities{
			Bounding: []string{raw, admin}, Effective: []string{raw, admin}, Permitted: []string{raw, admin},
		}},
		{"some are there", &specs.LinuxCapabilities{Bounding: []string{raw}, Permitted: []string{"CAP_CHOWN"}}, &specs.LinuxCapabilities{
			Bounding: []string{raw, admin}, Effective: []string{raw, admin}, Permitted: []string{"CAP_CHOWN", raw, admin},
		}},
		{"ambient only with inheritable", &specs.LinuxCapabilities{Inheritable: []string{raw}}, &specs.LinuxCapabilities{
			Bounding: []string{raw, admin}, Effective: []string{raw, admin}, Permitted: []string{raw, admin},
			Inheritable: []string{raw}, Ambient: []string{raw},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := processOf(t, specs.Process{Cwd: "/", Capabilities: tt.saved}, "--cap", raw, "-c", "sys_admin", "web", "sh")
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(p.Capabilities, tt.want) {
				t.Errorf("got  %+v\nwant %+v", p.Capabilities, tt.want)
			}
		})
	}
	p, err := processOf(t, specs.Process{Cwd: "/", Capabilities: &specs.LinuxCapabilities{Bounding: []string{raw}}}, "web", "sh")
	if err != nil || !reflect.DeepEqual(p.Capabilities, &specs.LinuxCapabilities{Bounding: []string{raw}}) {
		t.Errorf("without --cap: got %+v, %v", p.Capabilities, err)
	}
}

// podman's exec -t: the file and the flag both say it.
func TestExecProcessTakesTheTerminalTwice(t *testing.T) {
	p, err := processOf(t, specs.Process{}, "-p", writeFile(t, `{"args":["x"],"cwd":"/","terminal":true}`), "--tty", "web")
	if err != nil || !p.Terminal {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestExecProcessRefuses(t *testing.T) {
	file := writeFile(t, `{"args":["x"],"cwd":"/"}`)
	empty := writeFile(t, `{"cwd":"/"}`)
	tests := []struct {
		name string
		args string
		want string
	}{
		{"a file and a command", "-p " + file + " web sh", `--process: the file holds the command, but "sh" is given too`},
		{"a file and a flag", "-p " + file + " --user 1 web", "--process: the file describes the whole process; --user belongs in it"},
		{"a file and another --tty", "-p " + file + " --tty web", "--tty: contradicts terminal in the file of --process, false"},
		{"a file without a command", "-p " + empty + " web", "--process: " + empty + ": args: missing; at least one entry is needed"},
		{"no file", "-p /nowhere web", "--process: open /nowhere: no such file or directory"},
		{"a variable without a value", "-e A web sh", `--env: "A" is not NAME=VALUE`},
		{"a relative directory", "--cwd tmp web sh", `process.cwd: "tmp" is not an absolute path`},
		{"a group by name", "-g wheel web sh", `--additional-gids: "wheel" is not a number from 0 to 4294967294`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := processOf(t, specs.Process{}, strings.Fields(tt.args)...)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
