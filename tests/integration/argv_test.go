package integration

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The command lines of the engines, flag for flag.
func TestEnginesCommandLines(t *testing.T) {
	type call struct {
		name string
		args []string
	}
	for _, engine := range []struct {
		name  string
		calls []call
	}{
		{"containerd's shim", []call{
			{"create", []string{"--root", "ROOT", "--log", "LOG", "--log-format", "json", "create", "--bundle", "BUNDLE", "--pid-file", "PID", "ID"}},
			{"start", []string{"--root", "ROOT", "--log", "LOG", "--log-format", "json", "start", "ID"}},
			{"exec", []string{"--root", "ROOT", "--log", "LOG", "--log-format", "json", "exec", "--process", "PROCESS", "--detach", "--pid-file", "PID2", "ID"}},
			{"ps", []string{"--root", "ROOT", "--log", "LOG", "--log-format", "json", "ps", "--format", "json", "ID"}},
			{"pause", []string{"--root", "ROOT", "--log", "LOG", "--log-format", "json", "pause", "ID"}},
			{"resume", []string{"--root", "ROOT", "--log", "LOG", "--log-format", "json", "resume", "ID"}},
			{"update", []string{"--root", "ROOT", "--log", "LOG", "--log-format", "json", "update", "--resources=-", "ID"}},
			{"stats", []string{"--root", "ROOT", "--log", "LOG", "--log-format", "json", "events", "--stats", "ID"}},
			{"state", []string{"--root", "ROOT", "--log", "LOG", "--log-format", "json", "state", "ID"}},
			{"list", []string{"--root", "ROOT", "--log", "LOG", "--log-format", "json", "list", "--format=json"}},
			{"kill", []string{"--root", "ROOT", "--log", "LOG", "--log-format", "json", "kill", "--all", "ID", "9"}},
			{"delete", []string{"--root", "ROOT", "--log", "LOG", "--log-format", "json", "delete", "--force", "ID"}},
		}},
		{"conmon and podman", []call{
			{"create", []string{"--root=ROOT", "--log-format=json", "--log=LOG", "create", "--bundle", "BUNDLE", "--pid-file", "PID", "--no-new-keyring", "ID"}},
			{"start", []string{"--root=ROOT", "start", "ID"}},
			{"exec", []string{"--root=ROOT", "exec", "--pid-file", "PID2", "--process", "PROCESS", "--detach", "ID"}},
			{"pause", []string{"--root=ROOT", "pause", "ID"}},
			{"resume", []string{"--root=ROOT", "resume", "ID"}},
			{"update", []string{"--root=ROOT", "update", "--resources=LIMITS", "ID"}},
			{"kill", []string{"--root=ROOT", "kill", "--all", "ID", "9"}},
			{"delete", []string{"--root=ROOT", "delete", "--force", "ID"}},
		}},
		{"buildah", []call{
			{"create", []string{"--root=ROOT", "create", "--bundle", "BUNDLE", "--pid-file", "PID", "ID"}},
			{"start", []string{"--root=ROOT", "start", "ID"}},
			{"state", []string{"--root=ROOT", "state", "ID"}},
			{"kill", []string{"--root=ROOT", "kill", "ID"}},
			{"delete", []string{"--root=ROOT", "delete", "--force", "ID"}},
		}},
		{"docker", []call{
			{"features", []string{"features"}},
			{"version", []string{"--version"}},
			{"create", []string{"--root", "ROOT", "create", "--bundle", "BUNDLE", "--pid-file", "PID", "--no-pivot", "ID"}},
			{"start", []string{"--root", "ROOT", "start", "ID"}},
			{"top", []string{"--root", "ROOT", "ps", "--format", "table", "ID", "-ef"}},
			{"kill", []string{"--root", "ROOT", "kill", "ID", "9"}},
			{"delete", []string{"--root", "ROOT", "delete", "--force", "ID"}},
		}},
		{"CRI-O", []call{
			{"create", []string{"--root=ROOT", "create", "--bundle", "BUNDLE", "--pid-file", "PID", "ID"}},
			{"start", []string{"--root=ROOT", "start", "ID"}},
			{"exec", []string{"--root=ROOT", "exec", "--process", "TRUE", "ID"}},
			{"update", []string{"--root=ROOT", "update", "--resources", "-", "ID"}},
			{"kill", []string{"--root=ROOT", "kill", "-a", "ID", "KILL"}},
			{"delete", []string{"--root=ROOT", "delete", "--force", "ID"}},
		}},
		{"single dash", []call{
			{"create", []string{"-root", "ROOT", "create", "-bundle", "BUNDLE", "-pid-file=PID", "ID"}},
			{"start", []string{"-root=ROOT", "start", "ID"}},
			{"kill", []string{"-root", "ROOT", "kill", "ID", "SIGKILL"}},
			{"delete", []string{"-root", "ROOT", "delete", "-f", "ID"}},
		}},
	} {
		t.Run(engine.name, func(t *testing.T) {
			r := New(t)
			b := NewBundle(t, Sleep)
			id := r.ID("engine")
			b.PlaceCgroup(id)
			process := filepath.Join(t.TempDir(), "process.json")
			writeText(t, process, `{"args":["/bin/sleep","1008"],"cwd":"/","env":["PATH=/bin"]}`)
			limits, short := filepath.Join(t.TempDir(), "limits.json"), filepath.Join(t.TempDir(), "true.json")
			resources := `{"cpu":{"shares":256}}`
			if CgroupV2() && !hasControllers() {
				resources = `{}` // the v2 view of a hybrid machine can limit nothing
			}
			writeText(t, limits, resources)
			writeText(t, short, `{"args":["/bin/true"],"cwd":"/","env":["PATH=/bin"]}`)
			fill := strings.NewReplacer("LIMITS", limits, "TRUE", short, "ROOT", r.Root, "BUNDLE", b.Dir, "PROCESS", process, "PID2", filepath.Join(t.TempDir(), "pid2"),
				"PID", filepath.Join(t.TempDir(), "pid"), "LOG", filepath.Join(t.TempDir(), "log"), "ID", id)
			for _, call := range engine.calls {
				args := make([]string, len(call.args))
				for i, arg := range call.args {
					args[i] = arg
					if !strings.HasPrefix(arg, "-p") || strings.Contains(arg, "=") {
						args[i] = fill.Replace(arg)
					}
				}
				cmd := exec.Command(r.Path, args...)
				cmd.Stdin = strings.NewReader(resources) // what update reads
				if res := r.doReaping(cmd); res.Code != 0 {
					t.Fatalf("%s: %v: exit %d, stderr %s", call.name, args, res.Code, res.Stderr)
				}
			}
		})
	}
}

func TestHelpOfEveryCommandExitsWithZero(t *testing.T) {
	r := New(t)
	for _, command := range []string{
		"create", "start", "state", "kill", "delete", "run", "exec", "list", "ps", "events", "pause", "resume", "update", "spec", "features",
		"checkpoint", "restore",
	} {
		t.Run(command, func(t *testing.T) {
			if res := r.Do(command, "--help"); res.Code != 0 || res.Stderr != "" || !strings.Contains(res.Stdout, command) {
				t.Errorf("exit %d, stdout %q, stderr %q", res.Code, res.Stdout, res.Stderr)
			}
		})
	}
}

func TestUnknownCommandsAndFlagsAreRefused(t *testing.T) {
	r := New(t)
	for _, args := range [][]string{{"create", "--no-such-flag", "x"}, {"state"}, {"start"}, {"kill"}, {"delete"}, {"start", "a", "b"}, {"--no-such-flag", "list"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			if res := r.Do(args...); res.Code == 0 {
				t.Errorf("%v was accepted", args)
			}
		})
	}
}

func TestPodmansProbeOfRestore(t *testing.T) {
	r := New(t)
	res := r.Do("restore", "--lsm-mount-context")
	if !strings.Contains(res.Stdout+res.Stderr, "flag needs an argument") {
		t.Errorf("stdout %q, stderr %q; want flag needs an argument", res.Stdout, res.Stderr)
	}
}
