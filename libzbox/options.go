// Package libzbox is the life of a container: create, start, exec, kill, pause, update, delete and list, with its state on
// disk. The command line and the containerd shim are its callers. It neither logs nor exits; warnings go to Options.Warn.
package libzbox

import (
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CgroupManager says who makes cgroups.
type CgroupManager string

// The cgroup managers.
const (
	Cgroupfs CgroupManager = "cgroupfs"
	Systemd  CgroupManager = "systemd"
	Disabled CgroupManager = "disabled"
)

// Options configure a Runtime.
type Options struct {
	// Root is the directory of all state; it is made with mode 0700.
	Root string
	// CgroupManager is used for new containers; existing ones remember theirs. "" is Cgroupfs.
	CgroupManager CgroupManager
	// Rootless forces (true) or forbids (false) rootless behaviour; nil decides by the effective uid.
	Rootless *bool
	// RunHook may run a hook of the runtime's namespaces without its program, if it knows what that would do; false leaves it to the
	// program. It may be nil.
	RunHook func(specs.Hook, specs.State) (ran bool, err error)
	// Criu is the program of checkpoints, or its name in PATH; "" is criu.
	Criu string
	// Warn is called with one line for each thing that was asked for and is not done. It may be nil.
	Warn func(line string)
}

// Runtime is the set of containers below one root.
type Runtime struct {
	opts Options
}

// Stdio is what a container's process gets as its first three descriptors.
type Stdio struct {
	In, Out, Err *os.File
}

// CreateOptions are those of create and run.
type CreateOptions struct {
	Bundle        string // directory with config.json
	ConfigFile    string // in place of config.json, relative to Bundle
	ConsoleSocket string // path of the AF_UNIX socket that gets the terminal's master
	PidfdSocket   string // path of the AF_UNIX socket that gets a pidfd of init
	PidFile       string
	NoPivot       bool
	NoNewKeyring  bool
	PreserveFDs   int
	Stdio         Stdio // zero: the caller's own
	// TakeConsole makes Container.Console the terminal's master instead of sending it to ConsoleSocket (foreground run).
	TakeConsole bool
	// DieWithParent kills the container when the calling process ends, however it does. A container that is run, not created, only.
	DieWithParent bool
	// LenientLimits makes limits that cannot be applied without privileges warnings. Without it they are errors.
	LenientLimits bool
	// Prepare, if there is one, makes the bundle: it is called before anything of it is read, while the stage starts.
	Prepare func() error
	// Meanwhile, if there is one, is called while the container is prepared, and has returned before the first side effect.
	Meanwhile func()
	// ConsoleSize is the size of a terminal for which the configuration names none, in characters; nil leaves it at 0 by 0.
	ConsoleSize *specs.Box
}

// ExecOptions are those of exec. Process is complete: the command line's flags are already merged into it.
type ExecOptions struct {
	Process       *specs.Process
	ConsoleSocket string
	PidfdSocket   string
	PidFile       string
	PreserveFDs   int
	Cgroups       []string // [controller:]path below the container's cgroup (--cgroup)
	IgnorePaused  bool
	Stdio         Stdio
	TakeConsole   bool
	Meanwhile     func() // as in CreateOptions
}

// Status is the state of a container as the OCI runtime spec names it, plus paused.
type Status string

// The states of a container.
const (
	Creating Status = "creating"
	Created  Status = "created"
	Running  Status = "running"
	Paused   Status = "paused"
	Stopped  Status = "stopped"
)

// State is what `zbox state` and `zbox list` print (runtime-spec, runtime.md, "State", and runc's additions).
type State struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Pid         int               `json:"pid"`
	Status      Status            `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
}

// Process is a process of a container that this zbox started: its init, or one of exec.
type Process struct {
	// Pid is in the caller's pid namespace.
	Pid int
	// Console is the terminal's master with TakeConsole, else nil.
	Console *os.File
	// EndSignal is the signal that ended the process, once Wait has returned; 0 when it exited.
	EndSignal unix.Signal
}
