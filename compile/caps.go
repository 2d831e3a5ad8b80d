package compile

import (
	"fmt"
	"strings"

	"github.com/bxrne/zbox/plan"
)

// capabilityNames in the order of their numbers (linux/capability.h).
var capabilityNames = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
	"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN",
	"CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
	"CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// Capabilities are the names of all capabilities that zbox knows, for the features document.
func Capabilities() []string { return append([]string(nil), capabilityNames...) }

// capMask turns names into a mask. Unknown and unavailable ones are warnings, not errors (config.md, "capabilities").
func (c *compiler) capMask(set string, names []string) uint64 {
	var mask uint64
	for i, name := range names {
		origin := fmt.Sprintf("process.capabilities.%s[%d]", set, i)
		number := -1
		for n, known := range capabilityNames {
			if strings.EqualFold(known, name) {
				number = n
			}
		}
		switch {
		case number < 0:
			c.warn("%s: %q is not a capability that zbox knows", origin, name)
		case uint32(number) > c.req.Facts.LastCap || c.req.Facts.Caps&(1<<number) == 0:
			c.warn("%s: %s is not available here", origin, name)
		default:
			mask |= 1 << number
		}
	}
	return mask
}

// capMasks are the five sets of process.capabilities; without it all are empty.
type capMasks struct {
	bounding, effective, permitted, inheritable, ambient uint64
}

func (c *compiler) capMasks() capMasks {
	caps := c.process.Capabilities
	if caps == nil {
		return capMasks{}
	}
	return capMasks{
		bounding:    c.capMask("bounding", caps.Bounding),
		effective:   c.capMask("effective", caps.Effective),
		permitted:   c.capMask("permitted", caps.Permitted),
		inheritable: c.capMask("inheritable", caps.Inheritable),
		ambient:     c.capMask("ambient", caps.Ambient),
	}
}

func (c *compiler) bounding() error {
	caps := c.process.Capabilities
	c.add(given("process.capabilities.bounding", caps != nil && caps.Bounding != nil), &plan.Bounding{Keep: c.caps.bounding})
	return nil
}

// capabilities sets the final sets. Nothing is inheritable unless it is listed there (CVE-2022-29162).
func (c *compiler) capabilities() {
	caps, m := c.process.Capabilities, c.caps
	// An effective capability must be permitted (capset(2)).
	if missing := m.effective &^ m.permitted; missing != 0 {
		c.warn("process.capabilities.effective: %s left out: an effective capability must be permitted too", maskNames(missing))
	}
	c.add(given("process.capabilities", caps != nil),
		&plan.Capset{Effective: m.effective & m.permitted, Permitted: m.permitted, Inheritable: m.inheritable})
	// An ambient capability must be permitted and inheritable (capabilities(7)); others cannot be raised.
	usable := m.ambient & m.permitted & m.inheritable
	// For uid 0 they would change nothing: execve(2) gives root its permitted set anyway.
	if missing := m.ambient &^ usable; missing != 0 && c.process.User.UID != 0 {
		c.warn("process.capabilities.ambient: %s left out: an ambient capability must be permitted and inheritable too", maskNames(missing))
	}
	c.add(given("process.capabilities.ambient", caps != nil && caps.Ambient != nil), &plan.Ambient{Caps: usable})
}

func maskNames(mask uint64) string {
	var names []string
	for n, name := range capabilityNames {
		if mask&(1<<n) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
