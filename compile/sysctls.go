package compile

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// ipcSysctls belong to the ipc namespace (ipc_namespaces(7)).
var ipcSysctls = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
	"kernel.shm_rmid_forced",
}

// sysctls writes linux.sysctl: only keys that belong to a namespace of the container's own, each with one write to one file, the
// value as it is (CVE-2022-0811).
func (c *compiler) sysctls() error {
	for _, key := range sortedKeys(c.spec.Linux.Sysctl) {
		origin := fmt.Sprintf("linux.sysctl[%q]", key)
		file, err := sysctlFile(key)
		if err != nil {
			return fmt.Errorf("%s: %w", origin, err)
		}
		if err := c.checkSysctl(strings.ReplaceAll(file, "/", ".")); err != nil {
			return fmt.Errorf("%s: %w", origin, err)
		}
		c.add(origin, &plan.ProcWrite{Path: "sys/" + file, Value: c.spec.Linux.Sysctl[key]})
	}
	return nil
}

// sysctlFile is the file below /proc/sys. As with sysctl(8), whichever of . and / comes first separates; the other is then part
// of a name (an interface such as eth0.1).
func sysctlFile(key string) (string, error) {
	swapped := strings.NewReplacer(".", "/", "/", ".")
	file := key
	if i := strings.IndexAny(key, "./"); i < 0 || key[i] == '.' {
		file = swapped.Replace(key)
	}
	for part := range strings.SplitSeq(file, "/") {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("%q is not a sysctl key", key)
		}
	}
	if strings.ContainsFunc(file, func(r rune) bool { return r <= ' ' || r == '=' || r == '+' || r > '~' }) {
		return "", fmt.Errorf("%q is not a sysctl key", key)
	}
	return file, nil
}

func (c *compiler) checkSysctl(key string) error {
	needs := func(kind uint64, name string) error {
		if c.ns.own(kind) {
			return nil
		}
		return fmt.Errorf("belongs to the %s namespace, which is the host's", name)
	}
	switch {
	case slices.Contains(ipcSysctls, key), strings.HasPrefix(key, "fs.mqueue."):
		return needs(unix.CLONE_NEWIPC, "ipc")
	case strings.HasPrefix(key, "net."):
		return needs(unix.CLONE_NEWNET, "network")
	case key == "kernel.domainname":
		return needs(unix.CLONE_NEWUTS, "uts")
	case key == "kernel.hostname":
		return fmt.Errorf("use the hostname field instead")
	case strings.HasPrefix(key, "user."):
		return needs(unix.CLONE_NEWUSER, "user")
	}
	return fmt.Errorf("is not in a namespace: it would change the host")
}
