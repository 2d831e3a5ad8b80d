// Package nsexec starts the C stage, feeds it the plan and reads its reports. It knows steps, never config.json.
package nsexec

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// Options say what the stage is started with.
type Options struct {
	// Preserved become descriptors 3, 4, … of the container's process.
	Preserved []*os.File
	// Stdio are the container's first three descriptors.
	Stdio [3]*os.File
}

// Start runs the stage, which then waits for its plan: starting it takes as long as making the plan, and both can be done at once.
// The caller goes on with Stage.Execute, reads reports with Stage.Next, and ends with Stage.Close.
func Start(o Options) (*Stage, error) {
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
	pid, err := spawn(o, exe, pair[1])
	unix.Close(pair[1])
	if err != nil {
		unix.Close(pair[0])
		return nil, err
	}
	return &Stage{sock: pair[0], outer: pid, preserved: len(o.Preserved)}, nil
}

// HelperProgram is a static program that is the init of a sandbox when it is called so: "init PROGRAM ARG...", and the hook of its bundle
// when it is called "layers ROOTFS [base] [upper]". It is the stage itself.
func HelperProgram() ([]byte, error) { return loadStage() }

// spawn forks and executes the stage; see docs/architecture.md, "Three channels", for its descriptors.
func spawn(o Options, exe *os.File, sock int) (int, error) {
	var files []uintptr
	for _, f := range o.Stdio {
		files = append(files, f.Fd())
	}
	for _, f := range o.Preserved {
		files = append(files, f.Fd())
	}
	base := len(files)
	files = append(files, uintptr(sock))
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

// Execute hands the stage its plan and the plan's descriptors, which are in the order of plan.FD.
func (s *Stage) Execute(p *plan.Plan, handed []*os.File) error {
	if s.preserved != p.Preserve {
		return fmt.Errorf("preserving %d descriptors: %d given", p.Preserve, s.preserved)
	}
	encoded, err := p.Encode()
	if err != nil {
		return err
	}
	planFile, err := sealedMemfd("zbox-plan", encoded, false)
	if err != nil {
		return err
	}
	defer planFile.Close()
	fds := []int{int(planFile.Fd())}
	for _, f := range handed {
		fds = append(fds, int(f.Fd()))
	}
	record := plan.EncodePlanRecord(len(fds))
	for part := range slices.Chunk(fds, plan.MaxRights) {
		err := IgnoringEINTR(func() error {
			return unix.Sendmsg(s.sock, record, unix.UnixRights(part...), nil, unix.MSG_NOSIGNAL)
		})
		if err != nil {
			return fmt.Errorf("handing the plan over: %w", err)
		}
	}
	return nil
}
