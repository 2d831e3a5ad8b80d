package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/containerd/containerd/namespaces"
	"github.com/containerd/containerd/pkg/schedcore"
	"github.com/containerd/containerd/runtime/v2/shim"
)

// addressFile of the bundle tells containerd, when it was restarted, where the shim listens.
const addressFile = "address"

// groupLabels are the annotations that put containers into one shim, the first that is there counts: what the stock shim goes by.
var groupLabels = []string{"io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"}

// StartShim is the command start, which containerd runs in the bundle of a new container: it starts the server, or finds that of the
// container's group, and returns its address.
func (s *service) StartShim(ctx context.Context, o shim.StartOpts) (string, error) {
	group, err := groupOf("config.json", o.ID)
	if err != nil {
		return "", err
	}
	address, err := shim.SocketAddress(ctx, o.Address, group)
	if err != nil {
		return "", err
	}
	socket, err := listen(address)
	if err != nil {
		return "", err
	}
	if socket == nil { // the group's shim runs
		return address, shim.WriteAddress(addressFile, address)
	}
	defer socket.Close()
	// The server reads the address, too.
	if err = shim.WriteAddress(addressFile, address); err == nil {
		err = startServer(ctx, o, socket)
	}
	if err != nil {
		return "", errors.Join(err, shim.RemoveSocket(address))
	}
	return address, nil
}

// groupOf reads no more of the configuration than its annotations.
func groupOf(config, id string) (string, error) {
	f, err := os.Open(config)
	if err != nil {
		return "", fmt.Errorf("looking for the container's group: %w", err)
	}
	defer f.Close()
	var spec struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.NewDecoder(f).Decode(&spec); err != nil {
		return "", fmt.Errorf("looking for the container's group: %s: %w", config, err)
	}
	for _, label := range groupLabels {
		if group := spec.Annotations[label]; group != "" {
			return group, nil
		}
	}
	return id, nil
}

// listen makes the server's socket, a path that only our own user may connect to (CVE-2020-15257). It is nil when a shim answers there.
func listen(address string) (*os.File, error) {
	l, err := shim.NewSocket(address)
	if err != nil && shim.SocketEaddrinuse(err) {
		if shim.CanConnect(address) {
			return nil, nil
		}
		// Left by a shim that was killed.
		if err := shim.RemoveSocket(address); err != nil {
			return nil, fmt.Errorf("removing the socket of a former shim: %w", err)
		}
		l, err = shim.NewSocket(address)
	}
	if err != nil {
		return nil, fmt.Errorf("making the shim's socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // the server goes on with it
	defer l.Close()
	return l.File()
}

// startServer executes the shim again, to serve the socket, in the place that the options and containerd want it to have.
func startServer(ctx context.Context, o shim.StartOpts, socket *os.File) error {
	opts, err := readStartOptions(os.Stdin)
	if err != nil {
		return err
	}
	cmd, err := serverCommand(ctx, o)
	if err != nil {
		return err
	}
	cmd.ExtraFiles = []*os.File{socket}
	// The scheduling cookie is that of the thread which forks.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if os.Getenv("SCHED_CORE") != "" {
		if err := schedcore.Create(schedcore.ProcessGroup); err != nil {
			return fmt.Errorf("enabling core scheduling: %w", err)
		}
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the shim's server: %w", err)
	}
	if err = joinCgroup(opts.ShimCgroup, cmd.Process.Pid); err == nil {
		err = shim.AdjustOOMScore(cmd.Process.Pid)
	}
	if err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	return cmd.Process.Release()
}

func serverCommand(ctx context.Context, o shim.StartOpts) (*exec.Cmd, error) {
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("locating the shim: %w", err)
	}
	args := []string{"-namespace", namespace, "-id", o.ID, "-address", o.Address}
	if o.Debug {
		args = append(args, "-debug")
	}
	cmd := exec.Command(self, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, nil
}

// readStartOptions reads the runtime options that containerd may write to start's standard input. Create checks them.
func readStartOptions(stdin io.Reader) (runtimeOptions, error) {
	data, err := io.ReadAll(stdin)
	if err != nil {
		return runtimeOptions{}, fmt.Errorf("reading the runtime options: %w", err)
	}
	return unmarshalOptions(data)
}
