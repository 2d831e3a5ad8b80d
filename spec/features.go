package spec

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/bxrne/zbox/host/facts"
)

// Features returns the document of features.md and features-linux.md: what this zbox implements, whether or not this machine has
// it, except for supportedFlags of seccomp, which are those that the kernel in found takes. version is zbox's own.
//
// What only libseccomp can tell is left to the caller: linux.seccomp.archs and the annotation AnnotationLibseccomp.
func Features(found facts.Facts, version string) *features.Features {
	return &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: "1.3.0",
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions:  slices.Sorted(slices.Values(mountOptions)),
		Linux:         linuxFeatures(found),
		Annotations: map[string]string{
			// The key that engines ask for is runc's, whatever the runtime.
			"org.opencontainers.runc.checkpoint.enabled": "false",
			"io.github.bxrne.zbox.version":               version,
		},
		// A name with a dot at its end is a prefix: zbox honours keep_original_groups and mount_context_type of run.oci.
		PotentiallyUnsafeConfigAnnotations: []string{"org.systemd.property.", "run.oci."},
	}
}

// AnnotationLibseccomp is the annotation of the features document that holds libseccomp's version, as runc has it.
const AnnotationLibseccomp = "io.github.seccomp.libseccomp.version"

// mountOptions are the options that zbox itself carries out; others go to the filesystem.
var mountOptions = []string{
	"async", "atime", "bind", "copy-symlink", "defaults", "dest-nofollow", "dev", "diratime", "dirsync", "exec", "idmap",
	"iversion", "lazytime", "loud", "mand", "noatime", "nodev", "nodiratime", "noexec", "noiversion", "nolazytime", "nomand",
	"norelatime", "nostrictatime", "nosuid", "nosymfollow", "private", "ratime", "rbind", "rdev", "rdiratime", "relatime",
	"remount", "rexec", "ridmap", "rnoatime", "rnodev", "rnodiratime", "rnoexec", "rnorelatime", "rnostrictatime", "rnosuid",
	"rnosymfollow", "ro", "rprivate", "rrelatime", "rro", "rrw", "rshared", "rslave", "rstrictatime", "rsuid", "rsymfollow",
	"runbindable", "rw", "shared", "silent", "slave", "src-nofollow", "strictatime", "suid", "symfollow", "sync", "tmpcopyup",
	"unbindable",
}

func linuxFeatures(found facts.Facts) *features.Linux {
	yes := true
	return &features.Linux{
		Namespaces:      names(namespaceTypes),
		Capabilities:    slices.Clone(capabilities),
		Cgroup:          &features.Cgroup{V1: &yes, V2: &yes, Systemd: &yes, SystemdUser: &yes, Rdma: &yes},
		Seccomp:         seccompFeatures(found),
		Apparmor:        &features.Apparmor{Enabled: &yes},
		Selinux:         &features.Selinux{Enabled: &yes},
		IntelRdt:        &features.IntelRdt{Enabled: &yes, Schemata: &yes, Monitoring: &yes},
		MemoryPolicy:    &features.MemoryPolicy{Modes: names(memoryPolicyModes), Flags: names(memoryPolicyFlags)},
		MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
		NetDevices:      &features.NetDevices{Enabled: &yes},
	}
}

func seccompFeatures(found facts.Facts) *features.Seccomp {
	yes := true
	known := names(seccompFlags)
	supported := slices.Clone(known)
	if !kernelHas(found, 5, 19) {
		supported = slices.DeleteFunc(supported, func(flag string) bool {
			return flag == string(specs.LinuxSeccompFlagWaitKillableRecv)
		})
	}
	return &features.Seccomp{
		Enabled: &yes, Actions: names(seccompActions), Operators: names(seccompOperators),
		KnownFlags: known, SupportedFlags: supported,
	}
}

func kernelHas(found facts.Facts, major, minor int) bool {
	return found.KernelMajor > major || found.KernelMajor == major && found.KernelMinor >= minor
}

func names[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// capabilities are those of capabilities(7), by number.
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",
	"CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
	"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}
