package shim

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/containerd/containerd/namespaces"
	"github.com/containerd/containerd/pkg/schedcore"
	"github.com/containerd/containerd/runtime/v2/shim"
	"golang.org/x/sys/unix"
)

// addressFile of the bundle tells containerd, when it was restarted, where the shim listens.
const addressFile = "address"

// groupLabels are the annotations that put containers into one shim, the first that is there counts: what the stock shim goes by.
var groupLabels = []string{"io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"}

// A start is the command start, which containerd runs in the bundle of a new container. The process that it is has been forked for it, and
// goes on as the server: cmd/containerd-shim-zbox-v2/daemon.go.
type start struct {
	namespace, id, address string
	debug                  bool
}

// The descriptor that the process was forked with takes the server's address; containerd's library looks for the server's socket there.
const (
	reportFD = 3
	socketFD = 3
)

// parseStart reads the flags of containerd.
func parseStart(args []string) (start, error) {
	var o start
	flags := flag.NewFlagSet("containerd-shim-zbox-v2", flag.ContinueOnError)
	flags.StringVar(&o.namespace, "namespace", "", "")
	flags.StringVar(&o.id, "id", "", "")
	flags.StringVar(&o.address, "address", "", "")
	flags.BoolVar(&o.debug, "debug", false, "")
	flags.String("publish-binary", "", "")
	flags.String("bundle", "", "")
	flags.String("socket", "", "")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.namespace == "" || o.id == "" {
		return o, errors.New("start: -namespace and -id are needed")
	}
	return o, nil
}

// run starts to listen, or finds the server of the container's group, and tells the address. The process is to go on as the server if
// serve is true.
func (o start) run(stdin io.Reader) (serve bool, err error) {
	report := os.NewFile(reportFD, "address")
	defer report.Close()
	opts, err := readStartOptions(stdin)
	if err != nil {
		return false, err
	}
	group, err := groupOf("config.json", o.id)
	if err != nil {
		return false, err
	}
	ctx := namespaces.WithNamespace(context.Background(), o.namespace)
	address, err := shim.SocketAddress(ctx, o.address, group)
	if err != nil {
		return false, err
	}
	// Before the socket is there: delete removes by it what is left of a shim that was killed.
	if err := shim.WriteAddress(addressFile, address); err != nil {
		return false, err
	}
	socket, err := listen(address)
	if err != nil {
		return false, err
	}
	if socket == nil { // the group's shim runs
		_, err := report.WriteString(address)
		return false, err
	}
	defer socket.Close()
	if err = settle(opts.ShimCgroup); err == nil {
		err = answer(report, address, socket)
	}
	if err != nil {
		return false, errors.Join(err, removeSocket(address))
	}
	return true, nil
}

// answer tells the address, behind which containerd goes on, and leaves the process with the descriptors of a server.
func answer(report *os.File, address string, socket *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	// containerd waits until nobody holds its pipes any more.
	for fd := range 3 {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	if _, err := report.WriteString(address); err != nil {
		return fmt.Errorf("telling the address: %w", err)
	}
	report.Close()
	return os.NewSyscallError("dup3", unix.Dup3(int(socket.Fd()), socketFD, unix.O_CLOEXEC))
}

// serverArgs is the command line of a server.
func (o start) serverArgs() []string {
	args := []string{"-namespace", o.namespace, "-id", o.id, "-address", o.address}
	if o.debug {
		args = append(args, "-debug")
	}
	return args
}

// settle puts the process where the options and containerd want the server to be.
func settle(cgroup string) error {
	if err := joinCgroup(cgroup, os.Getpid()); err != nil {
		return err
	}
	if os.Getenv("SCHED_CORE") != "" {
		if err := schedcore.Create(schedcore.ProcessGroup); err != nil {
			return fmt.Errorf("enabling core scheduling: %w", err)
		}
	}
	return shim.AdjustOOMScore(os.Getpid())
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

// readStartOptions reads the runtime options that containerd may write to start's standard input. Create checks them.
func readStartOptions(stdin io.Reader) (runtimeOptions, error) {
	data, err := io.ReadAll(stdin)
	if err != nil {
		return runtimeOptions{}, fmt.Errorf("reading the runtime options: %w", err)
	}
	return unmarshalOptions(data)
}
