package compile

import (
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// mountOption is what one word of mounts[].options means (config.md, "Linux mount options"; mount_setattr(2)).
type mountOption struct {
	set, clear  uint64 // MOUNT_ATTR_*
	recursive   bool   // for the whole tree: the rro family
	propagation uint64 // MS_*
	super       string // a parameter of the superblock that fsconfig(2) knows for every filesystem
	flags       uint32 // plan.Mount* flags
	idmap       bool
	remount     bool
	bind        bool
	nothing     bool // known, and without any effect in the kernel today
}

const (
	atimeMask = unix.MOUNT_ATTR__ATIME
	noatime   = unix.MOUNT_ATTR_NOATIME
	strict    = unix.MOUNT_ATTR_STRICTATIME
)

// mountOptions is the whole vocabulary, made when it is first asked for. Any other word is data for the filesystem.
var mountOptions = sync.OnceValue(makeMountOptions)

func makeMountOptions() map[string]mountOption {
	attributes := map[string]mountOption{
		"ro": {set: unix.MOUNT_ATTR_RDONLY}, "rw": {clear: unix.MOUNT_ATTR_RDONLY},
		"nosuid": {set: unix.MOUNT_ATTR_NOSUID}, "suid": {clear: unix.MOUNT_ATTR_NOSUID},
		"nodev": {set: unix.MOUNT_ATTR_NODEV}, "dev": {clear: unix.MOUNT_ATTR_NODEV},
		"noexec": {set: unix.MOUNT_ATTR_NOEXEC}, "exec": {clear: unix.MOUNT_ATTR_NOEXEC},
		"nodiratime": {set: unix.MOUNT_ATTR_NODIRATIME}, "diratime": {clear: unix.MOUNT_ATTR_NODIRATIME},
		"nosymfollow": {set: unix.MOUNT_ATTR_NOSYMFOLLOW}, "symfollow": {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
		// The access time setting is one value, not bits: changing it clears the old one. Relative atime is 0 and the default.
		"noatime": {set: noatime, clear: atimeMask}, "atime": {clear: atimeMask},
		"relatime": {clear: atimeMask}, "norelatime": {clear: atimeMask},
		"strictatime": {set: strict, clear: atimeMask}, "nostrictatime": {clear: atimeMask},
	}
	all := map[string]mountOption{
		"defaults": {nothing: true},
		"bind":     {bind: true}, "rbind": {bind: true, flags: plan.MountRecursive},
		"remount": {remount: true},
		"sync":    {super: "sync"}, "async": {super: "async"}, "dirsync": {super: "dirsync"},
		"mand": {super: "mand"}, "nomand": {super: "nomand"},
		"lazytime": {super: "lazytime"}, "nolazytime": {super: "nolazytime"},
		// mount(8) itself knows these three; for the kernel they mean nothing any more.
		"silent": {nothing: true}, "loud": {nothing: true},
		"iversion": {nothing: true}, "noiversion": {nothing: true},
		"private": {propagation: unix.MS_PRIVATE}, "rprivate": {propagation: unix.MS_PRIVATE | unix.MS_REC},
		"slave": {propagation: unix.MS_SLAVE}, "rslave": {propagation: unix.MS_SLAVE | unix.MS_REC},
		"shared": {propagation: unix.MS_SHARED}, "rshared": {propagation: unix.MS_SHARED | unix.MS_REC},
		"unbindable": {propagation: unix.MS_UNBINDABLE}, "runbindable": {propagation: unix.MS_UNBINDABLE | unix.MS_REC},
		"idmap": {idmap: true}, "ridmap": {idmap: true, recursive: true},
		"tmpcopyup":    {flags: plan.MountTmpCopyUp},
		"copy-symlink": {flags: plan.MountCopySymlink},
		"src-nofollow": {flags: plan.MountSourceNofollow}, "dest-nofollow": {flags: plan.MountTargetNofollow},
	}
	for name, o := range attributes {
		all[name] = o
		o.recursive = true
		all["r"+name] = o
	}
	return all
}

// MountOptions are the words that zbox understands, in order, for the features document.
func MountOptions() []string { return sortedKeys(mountOptions()) }

// options are the parsed options of one mount.
type options struct {
	set, clear       uint64
	recSet, recClear uint64
	propagation      uint64
	super            []string // fsconfig parameters that every filesystem knows
	data             []string // parameters of this filesystem
	flags            uint32
	bind, remount    bool
	idmap, ridmap    bool
	idmapData        string // crun's form: idmap=uids=0-100000-65536;gids=…
}

func parseOptions(words []string) (options, error) {
	var o options
	for _, word := range words {
		known, ok := mountOptions()[word]
		if !ok {
			if err := o.addData(word); err != nil {
				return o, err
			}
			continue
		}
		o.apply(known)
	}
	return o, nil
}

func (o *options) addData(word string) error {
	if word == "idmap=" || word == "ridmap=" {
		return fmt.Errorf("options: %s names no ranges", word)
	}
	if rest, ok := strings.CutPrefix(word, "idmap="); ok {
		o.idmap, o.idmapData = true, rest
		return nil
	}
	if rest, ok := strings.CutPrefix(word, "ridmap="); ok {
		o.idmap, o.ridmap, o.idmapData = true, true, rest
		return nil
	}
	// The empty option asks for nothing: buildah makes one of a volume without options.
	o.data = append(o.data, splitData(word)...)
	return nil
}

// splitData splits at commas, as the kernel did with mount(2); a backslash keeps one.
func splitData(word string) []string {
	var parts []string
	var part strings.Builder
	for i := 0; i < len(word); i++ {
		switch {
		case word[i] == '\\' && i+1 < len(word) && word[i+1] == ',':
			part.WriteByte(',')
			i++
		case word[i] == ',':
			if part.Len() > 0 {
				parts = append(parts, part.String())
			}
			part.Reset()
		default:
			part.WriteByte(word[i])
		}
	}
	if part.Len() > 0 {
		parts = append(parts, part.String())
	}
	return parts
}

// single is what the attributes of a new filesystem come to: one mount, on which the recursive ones have the last word.
func (o *options) single() uint64 { return o.set&^o.recClear | o.recSet }

// apply adds one known option; a later one overrides an earlier one.
func (o *options) apply(m mountOption) {
	switch {
	case m.idmap:
		o.idmap = true
		o.ridmap = o.ridmap || m.recursive
	case m.recursive:
		o.recSet = o.recSet&^m.clear&^m.set | m.set
		o.recClear = o.recClear&^m.set | m.clear
	default:
		o.set = o.set&^m.clear | m.set
		o.clear = o.clear&^m.set | m.clear
	}
	if m.propagation != 0 {
		o.propagation = m.propagation
	}
	if m.super != "" {
		o.super = append(o.super, m.super)
	}
	o.flags |= m.flags
	o.bind = o.bind || m.bind
	o.remount = o.remount || m.remount
}
