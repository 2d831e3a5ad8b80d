package translate

import (
	"cmp"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// binDir is where the program is inside; searchPath is the usual one, for a root with content.
const (
	binDir     = "/bin"
	searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	homeDir    = "/tmp" // everybody can write there
)

// bundleVersion is the runtime-spec that has all that a bundle needs (mappings of mounts, rro), not a later one: crun 1.8, Debian 12's,
// refuses what it does not know.
const bundleVersion = "1.1.0"

// Spec is the OCI configuration of the sandbox, with its rootfs in the directory "rootfs" of the bundle. args are what follows
// `--` on the command line; without them the program gets the single argument "sh" (SEED.md 6.1). The second result has one line
// for each thing that was asked for and is not done.
//
// Spec does not look at the machine: it takes root for empty and binary for a program that is there and needs nothing, leaves out mounts,
// workspace and persist, and takes /bundle for the bundle's directory. Bundle knows better.
func (c *Config) Spec(args []string, o Options) (*specs.Spec, []string, error) {
	o.dir = "/bundle"
	return c.spec(args, o, &parts{program: &program{path: c.Binary}, layers: c.layersOf(nil, nil, false)})
}

func (c *Config) spec(args []string, o Options, p *parts) (*specs.Spec, []string, error) {
	seccomp, err := c.seccompProfile(o.arch())
	if err != nil {
		return nil, nil, err
	}
	ids, err := c.idMaps(o)
	if err != nil {
		return nil, nil, err
	}
	mounts, warnings, err := c.mounts(p, ids, o)
	if err != nil {
		return nil, nil, c.locate(err)
	}
	s := &specs.Spec{
		Version:  bundleVersion,
		Process:  c.process(args, o),
		Root:     &specs.Root{Path: cmp.Or(o.rootfs, rootfsDir), Readonly: c.ReadonlyRoot},
		Hostname: c.hostname(),
		Mounts:   mounts,
		Linux: &specs.Linux{
			UIDMappings:   ids.uids,
			GIDMappings:   ids.gids,
			Namespaces:    namespaces(),
			Resources:     c.resources(o),
			Sysctl:        sysctls(),
			Seccomp:       seccomp,
			MaskedPaths:   maskedPaths(),
			ReadonlyPaths: readonlyPaths(),
		},
	}
	s.Hooks = c.hooks(p.layers, o)
	if o.Portable {
		onSkeleton(s, p)
	}
	return s, append(c.networkWarnings(o), warnings...), nil
}

// mounts lists all of them in their order: what is mounted later may cover what came before.
func (c *Config) mounts(p *parts, ids idMaps, o Options) ([]specs.Mount, []string, error) {
	layers, warnings := c.layerMounts(p.layers, o)
	system := c.systemMounts(ids)
	if p.layers.portable {
		var hook []specs.Mount
		hook, warnings = c.hookMounts(p.layers, o)
		system = append(system, hook...)
	}
	host, more, err := c.hostBinds(p.mounts, o)
	if err != nil {
		return nil, nil, err
	}
	program := bindMount(p.program.path, c.target(), "bind")
	all := slices.Concat(layers, system, c.initMounts(), host, []specs.Mount{program}, binds(p.needs))
	return all, append(warnings, more...), nil
}

// target is the path of the program inside.
func (c *Config) target() string {
	return filepath.Join(binDir, filepath.Base(c.Binary))
}

// sysctls let a server without capabilities have the ports that it has elsewhere, 80 and 22 in the seed's example; they are those of the
// sandbox's own network namespace.
func sysctls() map[string]string {
	return map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"}
}

func namespaces() []specs.LinuxNamespace {
	return []specs.LinuxNamespace{
		{Type: specs.UserNamespace},
		{Type: specs.MountNamespace},
		{Type: specs.PIDNamespace},
		{Type: specs.NetworkNamespace},
		{Type: specs.IPCNamespace},
		{Type: specs.UTSNamespace},
		{Type: specs.CgroupNamespace},
	}
}
