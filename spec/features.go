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
// What other rooms know is left to the caller: mountOptions and linux.capabilities, which the compiler has in its tables, and what
// libseccomp tells, linux.seccomp.archs and the annotation AnnotationLibseccomp.
func Features(found facts.Facts, version string) *features.Features {
	return &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: "1.3.0",
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		Linux:         linuxFeatures(found),
		Annotations: map[string]string{
			// The key that engines ask for is runc's, whatever the runtime.
			"org.opencontainers.runc.checkpoint.enabled": "true",
			"io.github.bxrne.zbox.version":               version,
		},
		// A name with a dot at its end is a prefix: zbox honours keep_original_groups and mount_context_type of run.oci.
		PotentiallyUnsafeConfigAnnotations: []string{"org.criu.config", "org.systemd.property.", "run.oci."},
	}
}

// AnnotationLibseccomp is the annotation of the features document that holds libseccomp's version, as runc has it.
const AnnotationLibseccomp = "io.github.seccomp.libseccomp.version"

func linuxFeatures(found facts.Facts) *features.Linux {
	yes := true
	return &features.Linux{
		Namespaces:      names(namespaceTypes),
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
