package network

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// hostNamespace is the caller's own network namespace, the host's.
const hostNamespace = "/proc/thread-self/ns/net"

// ownsNetwork reports whether the caller may change the host's network: it has CAP_NET_ADMIN, and the network namespace belongs to its
// user namespace or to one below. Root of a user namespace that an ordinary user made has the one without the other.
func ownsNetwork() (bool, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false, fmt.Errorf("reading the capabilities: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return false, nil
	}
	net, err := os.Open(hostNamespace)
	if err != nil {
		return false, fmt.Errorf("opening the network namespace: %w", err)
	}
	defer net.Close()
	owner, err := unix.IoctlRetInt(int(net.Fd()), unix.NS_GET_USERNS)
	if errors.Is(err, unix.EPERM) { // outside of what the caller may see (ioctl_ns(2))
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("finding the owner of the network namespace: %w", err)
	}
	unix.Close(owner)
	return true, nil
}

// inode identifies a namespace.
func inode(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Ino, nil
}

// openSandbox opens the network namespace of pid, and refuses one that is the host's own.
func openSandbox(pid int, host uint64) (*os.File, error) {
	path := fmt.Sprintf("/proc/%d/ns/net", pid)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the sandbox's network namespace: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Ino == host {
		f.Close()
		return nil, fmt.Errorf("process %d has no network namespace of its own", pid)
	}
	return f, nil
}
