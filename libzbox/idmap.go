package libzbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// mapIDs writes the id maps of pid's new user namespace (user_namespaces(7)). A caller without privileges over the ids uses
// newuidmap(1) and newgidmap(1), which know /etc/subuid and /etc/subgid.
func mapIDs(pid int, s *plan.MapIDs) error {
	if s.DenySetgroups {
		if err := writeProc(pid, "setgroups", "deny"); err != nil {
			return err
		}
	}
	if err := writeIDMap(pid, "uid_map", "newuidmap", s.UIDs); err != nil {
		return err
	}
	return writeIDMap(pid, "gid_map", "newgidmap", s.GIDs)
}

func writeIDMap(pid int, file, helper string, maps []plan.IDMap) error {
	var b strings.Builder
	for _, m := range maps {
		fmt.Fprintf(&b, "%d %d %d\n", m.Container, m.Host, m.Size)
	}
	err := writeProc(pid, file, b.String())
	if err == nil || !errors.Is(err, unix.EPERM) || os.Geteuid() == 0 {
		return err
	}
	return runMapHelper(pid, helper, maps)
}

func runMapHelper(pid int, helper string, maps []plan.IDMap) error {
	path, err := exec.LookPath(helper)
	if err != nil {
		return fmt.Errorf("mapping more than the caller's own id needs %s (package uidmap): %w", helper, err)
	}
	args := []string{strconv.Itoa(pid)}
	for _, m := range maps {
		args = append(args, fmt.Sprint(m.Container), fmt.Sprint(m.Host), fmt.Sprint(m.Size))
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %s: %w", helper, strings.TrimSpace(string(out)), err)
	}
	return nil
}

// writeProc writes one of a process's own files in the host's procfs, with a single write(2).
func writeProc(pid int, file, value string) error {
	path := fmt.Sprintf("/proc/%d/%s", pid, file)
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(value)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// usernsWithMaps makes a user namespace that only carries id maps, for an idmapped mount. It lives in a child that is
// stopped before its first instruction, and then only in the descriptor.
func usernsWithMaps(uids, gids []plan.IDMap) (*os.File, error) {
	attr := &os.ProcAttr{
		Env: []string{},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: sysMaps(uids), GidMappings: sysMaps(gids),
			GidMappingsEnableSetgroups: true,
			Ptrace:                     true,
			Pdeathsig:                  unix.SIGKILL,
		},
	}
	child, err := os.StartProcess("/proc/self/exe", []string{"zbox-userns"}, attr)
	if err != nil {
		return nil, fmt.Errorf("making a user namespace with the maps: %w", err)
	}
	defer func() {
		_ = child.Kill()
		_, _ = child.Wait()
	}()
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", child.Pid))
	if err != nil {
		return nil, fmt.Errorf("opening the user namespace: %w", err)
	}
	return f, nil
}

func sysMaps(maps []plan.IDMap) []syscall.SysProcIDMap {
	var out []syscall.SysProcIDMap
	for _, m := range maps {
		out = append(out, syscall.SysProcIDMap{ContainerID: int(m.Container), HostID: int(m.Host), Size: int(m.Size)})
	}
	return out
}
