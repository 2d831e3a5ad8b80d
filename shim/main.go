// Package shim is containerd's shim for the runtime io.containerd.zbox.v2, on containerd's own shim library and on libzbox: the task API
// v2 over ttrpc, which containerd 1.6 to 2.x speak. One shim serves all containers of a pod. Making, starting, killing and deleting a
// container executes no runtime; the only process that is made is that of the container.
package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/containerd/containerd/runtime/v2/shim"
)

// Name is what containerd calls the runtime.
const Name = "io.containerd.zbox.v2"

// Build says which build of zbox this is.
type Build struct {
	Version string
	Commit  string
}

// Main runs one command line of the shim: -v, -info (containerd 2.x) and start here, everything else in containerd's library, which ends the
// process when it fails.
func Main(b Build, args []string, stdin io.Reader, stdout io.Writer) error {
	switch {
	case has(args, "v"):
		_, err := fmt.Fprintf(stdout, "containerd-shim-zbox-v2 version %s\ncommit: %s\n", b.Version, b.Commit)
		return err
	case has(args, "info"):
		return printInfo(b, stdin, stdout)
	}
	forgetServiceManager()
	if len(args) > 0 && args[len(args)-1] == "start" {
		o, err := parseStart(args)
		if err != nil {
			return err
		}
		serve, err := o.run(stdin)
		if err != nil || !serve {
			return err
		}
		os.Args = append(os.Args[:1], o.serverArgs()...)
	}
	shim.Run(Name, newShim, withoutReaper)
	return nil
}

// has looks for a flag of Go's kind.
func has(args []string, flag string) bool {
	return slices.Contains(args, "-"+flag) || slices.Contains(args, "--"+flag)
}

// withoutReaper keeps containerd's library from reaping: it takes the exit status of whatever child has ended, also of those that libzbox
// waits for.
func withoutReaper(c *shim.Config) { c.NoReaper = true }

// forgetServiceManager removes what systemd told containerd: sockets and readiness are not the containers' business.
func forgetServiceManager() {
	for _, name := range []string{"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		os.Unsetenv(name)
	}
}

// newShim makes the shim's server, and what delete is called on.
func newShim(ctx context.Context, id string, publisher shim.Publisher, shutdown func()) (shim.Shim, error) {
	return newService(ctx, id, publisher, shutdown)
}

// StartShim is part of the library's interface; Main has done it.
func (s *service) StartShim(context.Context, shim.StartOpts) (string, error) {
	return "", errors.New("start: is not the last argument")
}
