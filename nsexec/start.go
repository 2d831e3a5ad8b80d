// Package nsexec starts the C stage, feeds it the plan and reads its reports. It knows steps, never config.json.
package nsexec

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// Options say what the stage is started with.
type Options struct {
	Plan *plan.Plan
	// Handed are the descriptors of the plan, in the order of plan.FD.
	Handed []*os.File
	// Preserved become descriptors 3, 4, … of the container's process; there are Plan.Preserve of them.
	Preserved []*os.File
	// Stdio are the container's first three descriptors.
	Stdio [3]*os.File
}

// Start runs the stage. The caller reads reports with Stage.Next and ends with Stage.Close.
func Start(o Options) (*Stage, error) {
	if len(o.Preserved) != o.Plan.Preserve {
		return nil, fmt.Errorf("preserving %d descriptors: %d given", o.Plan.Preserve, len(o.Preserved))
	}
	encoded, err := o.Plan.Encode()
	if err != nil {
		return nil, err
	}
	planFile, err := sealedMemfd("zbox-plan", encoded, false)
	if err != nil {
		return nil, err
	}
	defer planFile.Close()
	program, err := loadStage()
	if err != nil {
		return nil, err
	}
	exe, err := sealedMemfd(StageName, program, true)
	if err != nil {
		return nil, err
	}
	defer exe.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making the report socket: %w", err)
	}
	pid, err := spawn(o, exe, planFile, pair[1])
	unix.Close(pair[1])
	if err != nil {
		unix.Close(pair[0])
		return nil, err
	}
	return &Stage{sock: pair[0], outer: pid}, nil
}

// spawn forks and executes the stage; see docs/architecture.md, "Three channels", for its descriptors.
func spawn(o Options, exe, planFile *os.File, sock int) (int, error) {
	var files []uintptr
	for _, f := range o.Stdio {
		files = append(files, f.Fd())
	}
	for _, f := range o.Preserved {
		files = append(files, f.Fd())
	}
	base := len(files)
	files = append(files, uintptr(sock), planFile.Fd())
	for _, f := range o.Handed {
		files = append(files, f.Fd())
	}
	// The path goes through our own pid: the child rearranges its descriptors before it executes.
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), exe.Fd())
	pid, err := syscall.ForkExec(path, []string{StageName, strconv.Itoa(base)}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{},
		Files: files,
	})
	if err != nil {
		return 0, fmt.Errorf("starting the stage: %w", err)
	}
	return pid, nil
}
