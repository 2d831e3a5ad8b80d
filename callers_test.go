package main

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/libzbox"
)

// parse reads a command line up to the command's action, where read gets it instead.
func parse(t *testing.T, args []string, read func(c *cli.Context) error) error {
	t.Helper()
	inv, err := takeApart(args)
	if err != nil {
		return err
	}
	rep, err := newReport(inv, io.Discard)
	if err != nil {
		return err
	}
	app := newApp(inv, rep, io.Discard)
	called := false
	app.Commands[0].Action = func(c *cli.Context) error {
		called = true
		return read(c)
	}
	err = app.Run(inv.argv())
	if err == nil && !called {
		t.Fatal("the action was not reached")
	}
	return err
}

// understood is what a command line means.
type understood struct {
	ID      string
	Root    string
	Manager libzbox.CgroupManager
	Criu    string
	Create  libzbox.CreateOptions
	Exec    libzbox.ExecOptions
	Signal  unix.Signal
	Flags   string // the other flags that are set
	Args    []string
}

var savedProcess = &specs.Process{
	Terminal: true, Cwd: "/srv", Args: []string{"init"}, Env: []string{"PATH=/bin"}, User: specs.User{UID: 5, GID: 6},
}

func understand(c *cli.Context) (understood, error) {
	u := understood{ID: c.Args().First(), Root: c.String("root"), Args: c.Args().Tail()}
	o, err := runtimeOptions(c)
	u.Manager, u.Criu = o.CgroupManager, o.Criu
	if err != nil {
		return u, err
	}
	switch c.Command.Name {
	case "create":
		u.Create, err = createOptions(c)
	case "run":
		u.Create, err = runOptions(c)
	case "exec":
		saved := func() (*specs.Spec, error) { return &specs.Spec{Process: savedProcess}, nil }
		u.Exec, err = execOptions(c, saved)
	case "kill":
		u.ID, u.Signal, err = killTarget(c)
	}
	var flags []string
	for _, name := range []string{"all", "force", "detach", "keep", "stats", "no-subreaper"} {
		if c.Bool(name) {
			flags = append(flags, name)
		}
	}
	for _, name := range []string{"format", "resources", "image-path", "work-path", "manage-cgroups-mode", "status-fd", "interval"} {
		if c.IsSet(name) {
			flags = append(flags, name+"="+flagText(c, name))
		}
	}
	u.Flags = strings.Join(flags, " ")
	if len(u.Args) == 0 || c.Command.Name == "exec" || c.Command.Name == "kill" {
		u.Args = nil
	}
	return u, err
}

func flagText(c *cli.Context, name string) string {
	if d, ok := c.Value(name).(time.Duration); ok {
		return d.String()
	}
	return c.String(name)
}

// command is a process with the arguments that exec was given.
func command(args ...string) *specs.Process {
	p := *savedProcess
	p.Terminal, p.Args = false, args
	return &p
}

func withTerminal(p *specs.Process) *specs.Process {
	p.Terminal = true
	return p
}

// The command lines that engines really pass, read off their sources.
func TestCallers(t *testing.T) {
	process := writeFile(t, `{"args":["/bin/true"],"cwd":"/"}`)
	fromFile := &specs.Process{Args: []string{"/bin/true"}, Cwd: "/"}
	const fs, systemd = libzbox.Cgroupfs, libzbox.Systemd
	tests := []struct {
		name, args string
		want       understood
	}{
		{
			"containerd create",
			"--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json --systemd-cgroup create --bundle /b --pid-file /b/init.pid --console-socket /s --no-pivot --no-new-keyring --preserve-fds 2 web",
			understood{ID: "web", Root: "/run/containerd/runc/k8s.io", Manager: systemd, Create: libzbox.CreateOptions{
				Bundle: "/b", PidFile: "/b/init.pid", ConsoleSocket: "/s", NoPivot: true, NoNewKeyring: true, PreserveFDs: 2,
			}},
		},
		{
			"containerd rootless create with a pidfd socket",
			"--root /r --rootless=true --debug create --bundle /b --pidfd-socket /s web",
			understood{ID: "web", Root: "/r", Manager: fs, Create: libzbox.CreateOptions{Bundle: "/b", PidfdSocket: "/s"}},
		},
		{"containerd start", "--root /r start web", understood{ID: "web", Root: "/r", Manager: fs}},
		{
			"containerd exec", "--root /r exec --process PROCESS --console-socket /s --detach --pid-file /p web",
			understood{ID: "web", Root: "/r", Manager: fs, Flags: "detach", Exec: libzbox.ExecOptions{
				Process: fromFile, ConsoleSocket: "/s", PidFile: "/p",
			}},
		},
		{"containerd kill", "--root /r kill --all web 9", understood{ID: "web", Root: "/r", Manager: fs, Signal: unix.SIGKILL, Flags: "all"}},
		{"containerd kill of the first process", "--root /r kill web 15", understood{ID: "web", Root: "/r", Manager: fs, Signal: unix.SIGTERM}},
		{"containerd delete", "--root /r delete --force web", understood{ID: "web", Root: "/r", Manager: fs, Flags: "force"}},
		{"containerd pids", "--root /r ps --format json web", understood{ID: "web", Root: "/r", Manager: fs, Flags: "format=json"}},
		{"containerd's CRI, docker and CRI-O ask for features", "features", understood{Manager: fs}},
		{"docker top", "--root /r ps --format table web -ef", understood{ID: "web", Root: "/r", Manager: fs, Flags: "format=table", Args: []string{"-ef"}}},
		{"containerd update", "--root /r update --resources=- web", understood{ID: "web", Root: "/r", Manager: fs, Flags: "resources=-"}},
		{"containerd stats", "--root /r events --stats web", understood{ID: "web", Root: "/r", Manager: fs, Flags: "stats"}},
		{"containerd events", "--root /r events --interval=5s web", understood{ID: "web", Root: "/r", Manager: fs, Flags: "interval=5s"}},
		{"containerd list", "--root /r list --format=json", understood{Root: "/r", Manager: fs, Flags: "format=json"}},
		{
			"containerd checkpoint",
			"--root /r checkpoint --image-path /i --work-path /w --manage-cgroups-mode soft --status-fd 3 --lazy-pages --empty-ns network web",
			understood{ID: "web", Root: "/r", Manager: fs, Flags: "image-path=/i work-path=/w manage-cgroups-mode=soft status-fd=3"},
		},
		{
			"containerd restore",
			"--root /r restore --image-path /i --work-path /w --detach --pid-file /p --no-pivot -no-subreaper --bundle /b web",
			understood{ID: "web", Root: "/r", Manager: fs, Flags: "detach no-subreaper image-path=/i work-path=/w"},
		},
		{
			"containerd 1.6 checkpoint with the option CriuPath",
			"--root /run/containerd/runc/default --debug --log /b/log.json --log-format json --criu /opt/criu --systemd-cgroup checkpoint " +
				"--image-path /run/ctrd-checkpoint1 --work-path /b/work/criu-work --tcp-established --ext-unix-sk --shell-job --file-locks --empty-ns network --leave-running web",
			understood{
				ID: "web", Root: "/run/containerd/runc/default", Manager: systemd, Criu: "/opt/criu",
				Flags: "image-path=/run/ctrd-checkpoint1 work-path=/b/work/criu-work",
			},
		},
		{
			"containerd 1.6 restore with the option CriuPath",
			"--root /run/containerd/runc/default --log /b/log.json --log-format json --criu /opt/criu restore --image-path /run/ctrd-checkpoint1 " +
				"--work-path /b/work --detach --pid-file /b/init.pid --console-socket /run/pty1/pty.sock -no-subreaper --bundle /b web",
			understood{
				ID: "web", Root: "/run/containerd/runc/default", Manager: fs, Criu: "/opt/criu",
				Flags: "detach no-subreaper image-path=/run/ctrd-checkpoint1 work-path=/b/work",
			},
		},
		{
			"podman create through conmon",
			"--systemd-cgroup --cgroup-manager disabled --root /r create --bundle /b --pid-file /p --no-new-keyring --console-socket /s web",
			understood{ID: "web", Root: "/r", Manager: libzbox.Disabled, Create: libzbox.CreateOptions{
				Bundle: "/b", PidFile: "/p", NoNewKeyring: true, ConsoleSocket: "/s",
			}},
		},
		{
			"podman exec through conmon", "--root /r exec --pid-file /p --process PROCESS --detach web",
			understood{ID: "web", Root: "/r", Manager: fs, Flags: "detach", Exec: libzbox.ExecOptions{Process: fromFile, PidFile: "/p"}},
		},
		{
			"podman restore through conmon",
			"--systemd-cgroup --root /r restore --bundle /b --pid-file /p --no-pivot --detach --image-path /i --work-path /w --console-socket /s web",
			understood{ID: "web", Root: "/r", Manager: systemd, Flags: "detach image-path=/i work-path=/w"},
		},
		{
			"podman create without a terminal", "--root /r create --bundle /b --pid-file /p --no-pivot --preserve-fds 2 web",
			understood{ID: "web", Root: "/r", Manager: fs, Create: libzbox.CreateOptions{Bundle: "/b", PidFile: "/p", NoPivot: true, PreserveFDs: 2}},
		},
		{
			"podman exec on a terminal", "--root /r exec --pid-file /p --process PROCESS --detach --console-socket /s web",
			understood{ID: "web", Root: "/r", Manager: fs, Flags: "detach", Exec: libzbox.ExecOptions{Process: fromFile, PidFile: "/p", ConsoleSocket: "/s"}},
		},
		{"podman start", "--root /r --log-format=json --log LOG start web", understood{ID: "web", Root: "/r", Manager: fs}},
		{"podman pause", "--root /r pause web", understood{ID: "web", Root: "/r", Manager: fs}},
		{"podman unpause", "--root /r resume web", understood{ID: "web", Root: "/r", Manager: fs}},
		{"podman update", "--root /r update --resources=/f web", understood{ID: "web", Root: "/r", Manager: fs, Flags: "resources=/f"}},
		{"podman rm", "--root /r delete --force web", understood{ID: "web", Root: "/r", Manager: fs, Flags: "force"}},
		{
			"podman checkpoint",
			"--root /r checkpoint --image-path /i --work-path /w --leave-running --tcp-established --file-locks --pre-dump --parent-path ../p web",
			understood{ID: "web", Root: "/r", Manager: fs, Flags: "image-path=/i work-path=/w"},
		},
		{"podman stop", "--root /r --log-format=json --log LOG kill --all web 15", understood{ID: "web", Root: "/r", Manager: fs, Signal: unix.SIGTERM, Flags: "all"}},
		{"CRI-O kill by name", "--root /r --systemd-cgroup kill -a web KILL", understood{ID: "web", Root: "/r", Manager: systemd, Signal: unix.SIGKILL, Flags: "all"}},
		{"CRI-O stop with the signal of the image", "--root /r --systemd-cgroup kill web SIGQUIT", understood{ID: "web", Root: "/r", Manager: systemd, Signal: unix.SIGQUIT}},
		{
			"CRI-O exec", "--root /r exec --process PROCESS web",
			understood{ID: "web", Root: "/r", Manager: fs, Exec: libzbox.ExecOptions{Process: fromFile, TakeConsole: true}},
		},
		{"CRI-O update", "--root /r update --resources - web", understood{ID: "web", Root: "/r", Manager: fs, Flags: "resources=-"}},
		{"CRI-O start", "--root /r --systemd-cgroup start web", understood{ID: "web", Root: "/r", Manager: systemd}},
		{"CRI-O state", "--root /r --systemd-cgroup state web", understood{ID: "web", Root: "/r", Manager: systemd}},
		{"CRI-O resume", "--root /r --systemd-cgroup resume web", understood{ID: "web", Root: "/r", Manager: systemd}},
		{"CRI-O pause", "--root /r --systemd-cgroup pause web", understood{ID: "web", Root: "/r", Manager: systemd}},
		{"CRI-O delete", "--root /r --systemd-cgroup delete --force web", understood{ID: "web", Root: "/r", Manager: systemd, Flags: "force"}},
		{
			"buildah create", "--root /r --systemd-cgroup create --bundle /b --pid-file /p --console-socket /s web",
			understood{ID: "web", Root: "/r", Manager: systemd, Create: libzbox.CreateOptions{Bundle: "/b", PidFile: "/p", ConsoleSocket: "/s"}},
		},
		{"buildah state", "--root /r state web", understood{ID: "web", Root: "/r", Manager: fs}},
		{"buildah delete", "--root /r delete web", understood{ID: "web", Root: "/r", Manager: fs}},
		{
			"buildkit exec", "--root /r --log LOG --log-format json exec --process PROCESS --pid-file /p web",
			understood{ID: "web", Root: "/r", Manager: fs, Exec: libzbox.ExecOptions{Process: fromFile, PidFile: "/p", TakeConsole: true}},
		},
		{"buildkit state", "--root /r --log LOG --log-format json state web", understood{ID: "web", Root: "/r", Manager: fs}},
		{"buildkit delete", "--root /r --log LOG --log-format json delete web", understood{ID: "web", Root: "/r", Manager: fs}},
		{"buildkit kill", "--root /r kill web 9", understood{ID: "web", Root: "/r", Manager: fs, Signal: unix.SIGKILL}},
		{"containerd state", "--root /r state web", understood{ID: "web", Root: "/r", Manager: fs}},
		{"containerd pause", "--root /r pause web", understood{ID: "web", Root: "/r", Manager: fs}},
		{"containerd resume", "--root /r resume web", understood{ID: "web", Root: "/r", Manager: fs}},
		{"buildah kill", "--root /r kill web", understood{ID: "web", Root: "/r", Manager: fs, Signal: unix.SIGTERM}},
		{
			"buildkit run", "--root /r --log LOG --log-format json run --bundle /b --keep --no-pivot web",
			understood{ID: "web", Root: "/r", Manager: fs, Flags: "keep", Create: libzbox.CreateOptions{Bundle: "/b", NoPivot: true, TakeConsole: true}},
		},
		{
			"buildkit run without a state directory", "--log LOG --log-format json run --bundle /b --keep web",
			understood{ID: "web", Manager: fs, Flags: "keep", Create: libzbox.CreateOptions{Bundle: "/b", TakeConsole: true}},
		},
		{
			"conmon-rs create", "--log-level=debug --root=/r --systemd-cgroup --systemd-cgroup create --bundle /b --pid-file /p --console-socket=/s web",
			understood{ID: "web", Root: "/r", Manager: systemd, Create: libzbox.CreateOptions{Bundle: "/b", PidFile: "/p", ConsoleSocket: "/s"}},
		},
		{
			"conmon-rs exec", "--root=/r exec -d --console-socket=/s --tty --pid-file=/p web -x --tty -- -d",
			understood{ID: "web", Root: "/r", Manager: fs, Flags: "detach", Exec: libzbox.ExecOptions{
				Process: withTerminal(command("-x", "--tty", "--", "-d")), ConsoleSocket: "/s", PidFile: "/p",
			}},
		},
		{
			"a user's exec", "--root /r exec --ignore-paused --cgroup cpu:sub --cgroup /x --preserve-fds=1 web ls -l",
			understood{ID: "web", Root: "/r", Manager: fs, Exec: libzbox.ExecOptions{
				Process: command("ls", "-l"), IgnorePaused: true, Cgroups: []string{"cpu:sub", "/x"}, PreserveFDs: 1, TakeConsole: true,
			}},
		},
		{
			"a user's detached run", "--root /r run -d -b /b web",
			understood{ID: "web", Root: "/r", Manager: fs, Flags: "detach", Create: libzbox.CreateOptions{Bundle: "/b"}},
		},
		{"a container called like a command", "--root /r state help", understood{ID: "help", Root: "/r", Manager: fs}},
		{"a container called like a flag", "--root /r delete force --force", understood{ID: "force", Root: "/r", Manager: fs, Flags: "force"}},
	}
	log := t.TempDir() + "/log"
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := strings.Fields(strings.NewReplacer("PROCESS", process, "LOG", log, "/b/log.json", log).Replace(tt.args))
			var got understood
			err := parse(t, args, func(c *cli.Context) (err error) {
				got, err = understand(c)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// docker and CRI-O read the version through the combined output.
func TestVersion(t *testing.T) {
	for _, flag := range []string{"--version", "-v", "-version"} {
		var out, errs bytes.Buffer
		if code := zbox([]string{flag}, &out, &errs); code != 0 || errs.Len() > 0 {
			t.Fatalf("%s: code %d, stderr %q", flag, code, errs.String())
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != 5 {
			t.Fatalf("%s: got %d lines, want 5:\n%s", flag, len(lines), out.String())
		}
		for i, prefix := range []string{"zbox version ", "commit: ", "spec: 1.3.0", "go: go", "libseccomp: "} {
			if !strings.HasPrefix(lines[i], prefix) {
				t.Errorf("%s: line %d is %q, want %q", flag, i+1, lines[i], prefix)
			}
			if i > 0 && strings.Contains(lines[i], "version") {
				t.Errorf("%s: line %d would be taken for the version: %q", flag, i+1, lines[i])
			}
		}
	}
}

// podman probes commands with --help.
func TestHelpOfEveryCommand(t *testing.T) {
	for _, c := range commands {
		for _, flag := range []string{"--help", "-h", "-help"} {
			var out, errs bytes.Buffer
			if code := zbox([]string{c.name, flag}, &out, &errs); code != 0 || errs.Len() > 0 {
				t.Errorf("%s %s: code %d, stderr %q", c.name, flag, code, errs.String())
			}
			if !strings.Contains(out.String(), "zbox "+c.name+" - ") {
				t.Errorf("%s %s: got %q", c.name, flag, out.String())
			}
		}
	}
}

func TestEveryFlagIsExplained(t *testing.T) {
	flags := globalFlags()
	for _, c := range commands {
		cmd := newCommand(c.name)
		if cmd.Usage == "" {
			t.Errorf("%s: no usage", c.name)
		}
		flags = append(flags, cmd.Flags...)
	}
	for _, f := range flags {
		d := f.(cli.DocGenerationFlag)
		hidden := !f.(cli.VisibleFlag).IsVisible()
		if d.GetUsage() == "" && !hidden {
			t.Errorf("--%s: no usage", f.Names()[0])
		}
	}
}
