//go:build engines

package engines

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

// The ids of rootless containers, and of podman's --userns=auto as root.
const (
	testerID    = 61000
	subordinate = 700000
	automatic   = 800000
)

// Users gives the machine, in this mount namespace only, a user of the tests' own with subordinate ids, and ids for --userns=auto.
func Users() error {
	ids := fmt.Sprintf("engine-tester:%d:65536\ncontainers:%d:65536\n", subordinate, automatic)
	for file, text := range map[string]string{
		"/etc/passwd": fmt.Sprintf("engine-tester:x:%d:%d::%s:/bin/sh\n", testerID, testerID, home),
		"/etc/group":  fmt.Sprintf("engine-tester:x:%d:\n", testerID),
		"/etc/subuid": ids,
		"/etc/subgid": ids,
	} {
		if err := appendPrivately(file, text); err != nil {
			return err
		}
	}
	for _, dir := range []string{home, runtimeDir} {
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, testerID, testerID)); err != nil {
			return err
		}
	}
	return openTun()
}

const (
	home       = Dir + "/home"
	runtimeDir = Dir + "/user"
)

// Tester is the user of Users.
func Tester() *integration.User {
	return &integration.User{Name: "engine-tester", UID: testerID, GID: testerID, Runtime: runtimeDir}
}

func appendPrivately(file, text string) error {
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	private := filepath.Join(Dir, filepath.Base(file))
	if err := os.WriteFile(private, append(old, text...), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(private, file, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("covering %s: %w", file, err)
	}
	return nil
}

// openTun lets everyone make links to user space, as udev does.
func openTun() error {
	const major, minor = 10, 200 // Documentation/admin-guide/devices.txt
	tun := Dir + "/tun"
	err := errors.Join(unix.Mknod(tun, unix.S_IFCHR, int(unix.Mkdev(major, minor))), os.Chmod(tun, 0o666))
	if err != nil {
		return fmt.Errorf("making a tun device: %w", err)
	}
	if err := unix.Mount(tun, "/dev/net/tun", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("covering /dev/net/tun: %w", err)
	}
	return nil
}
