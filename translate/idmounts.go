package translate

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// noIDMap says why the file system that f is on cannot be id-mapped (mount_setattr(2), "ID-mapped mounts"); nil when it should be possible.
func (o Options) noIDMap(f *os.File) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return err
	}
	switch int64(fs.Type) {
	case unix.OVERLAYFS_SUPER_MAGIC:
		return errors.New("overlayfs has no id-mapped mounts")
	case unix.NFS_SUPER_MAGIC:
		return errors.New("NFS has no id-mapped mounts")
	case unix.V9FS_MAGIC:
		return errors.New("9p has no id-mapped mounts")
	case unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return errors.New("SMB has no id-mapped mounts")
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC:
		return errors.New("file systems of the kernel have no id-mapped mounts")
	case unix.FUSE_SUPER_MAGIC:
		return errors.New("FUSE has no id-mapped mounts but for some servers")
	case unix.TMPFS_MAGIC:
		return o.needsKernel(6, 3, "id-mapped mounts of tmpfs")
	}
	return nil
}

// Kernel is a version of Linux.
type Kernel struct{ Major, Minor int }

// needsKernel: a kernel whose version is not known is new enough.
func (o Options) needsKernel(major, minor int, what string) error {
	k := o.Kernel
	if k.Major == 0 || k.Major > major || k.Major == major && k.Minor >= minor {
		return nil
	}
	return fmt.Errorf("%s need Linux %d.%d, this is %d.%d", what, major, minor, k.Major, k.Minor)
}

func runningKernel() Kernel {
	var k Kernel
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		_, _ = fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &k.Major, &k.Minor)
	}
	return k
}

// hostUID is the host's number of an id of the sandbox, where root runs zbox.
func (o Options) hostUID(id uint32) uint32 { return hostID(subordinate(o.SubUID), id) }

func (o Options) hostGID(id uint32) uint32 { return hostID(subordinate(o.SubGID), id) }

func hostID(maps []specs.LinuxIDMapping, id uint32) uint32 {
	for _, m := range maps {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + id - m.ContainerID
		}
	}
	return maps[0].HostID
}

// baseMaps maps the ids that files of a base have to those of the sandbox: to the same number, but that its owner is the sandbox's root and
// the other way round. A tree that a user unpacked is root's inside, as one that root unpacked.
func baseMaps(owner uint32, r IDRange) []specs.LinuxIDMapping {
	maps := subordinate(r)
	start, size := maps[0].HostID, maps[0].Size
	var out []specs.LinuxIDMapping
	add := func(disk, inside, n uint32) {
		if n > 0 {
			out = append(out, specs.LinuxIDMapping{ContainerID: disk, HostID: start + inside, Size: n})
		}
	}
	switch {
	case owner == 0:
		add(0, 0, size)
	case owner >= size:
		add(owner, 0, 1)
		add(1, 1, size-1)
	default:
		add(0, owner, 1)
		add(1, 1, owner-1)
		add(owner, 0, 1)
		add(owner+1, owner+1, size-owner-1)
	}
	return out
}

// insideID is the sandbox's number of an id that a file of a base has; 0 for one that is not there.
func insideID(id, owner uint32) uint32 {
	switch {
	case id == owner:
		return 0
	case id == 0 && owner < rangeSize:
		return owner
	case id < rangeSize:
		return id
	}
	return 0
}

// idmapWarnings: runtimes that do not know the ids of mounts ignore them without a word.
func idmapWarnings(s *specs.Spec) []string {
	var out []string
	for _, m := range s.Mounts {
		if len(m.UIDMappings) > 0 {
			out = append(out, fmt.Sprintf("%s is id-mapped: runtimes that cannot do that, such as runc before 1.2, show its files as nobody's and write none", m.Source))
		}
	}
	return out
}
