package criu

import (
	"fmt"
	"net"
	"strconv"
)

// Options are those of a dump and of a restore: criu_opts of images/rpc.proto, whose names they have. See criu(8) for each.
type Options struct {
	ImagesDirFD int // a descriptor of the caller: criu opens it anew
	WorkDirFD   int // likewise; 0 for none: the images' directory
	LogFile     string
	ConfigFile  string // settings in it win over these
	Pid         int    // the root of the process tree to dump
	Root        string // the container's root directory; a mount point for a restore

	LeaveRunning    bool
	ExtUnixSk       bool
	TCPEstablished  bool
	TCPSkipInFlight bool
	TCPClose        bool
	ShellJob        bool
	FileLocks       bool
	LinkRemap       bool
	AutoDedup       bool
	LazyPages       bool
	TrackMem        bool
	ParentImage     string // relative to the images' directory
	PageServer      string // ADDRESS:PORT, "" for none
	NetworkLock     string // iptables, nftables or skip; "" is iptables
	ManageCgroups   string // soft, full, strict or ignore; "" is soft
	FreezeCgroup    string // absolute path of a cgroup with the tree; "" has criu stop it with ptrace(2)
	CgroupRoots     map[string]string
	EmptyNamespaces uint32 // CLONE_NEW* of namespaces that are made, but not filled
	External        []string
	ExternalMounts  []ExternalMount
	InheritFDs      []InheritFD
	JoinNamespaces  []JoinNamespace
	LSMProfile      string
	LSMMountContext string
}

// ExternalMount is a mount that is not saved. For a dump Key is the mount point and Value the name that the image calls it by; for a restore
// Key is that name and Value the path on the host.
type ExternalMount struct {
	Key, Value string
}

// InheritFD hands a descriptor of criu's process, see Session.Hand, to the restored one in place of what is called Key in the image.
type InheritFD struct {
	Key string
	FD  int
}

// JoinNamespace restores into an existing namespace.
type JoinNamespace struct {
	Type string // the name below /proc/PID/ns
	Path string
}

// networkLock is the number of a method (criu_network_lock_method).
func networkLock(name string) (int, bool) {
	switch name {
	case "iptables":
		return 1, true
	case "nftables":
		return 2, true
	case "skip":
		return 3, true
	}
	return 0, false
}

// cgroupMode is the number of a mode (criu_cg_mode).
func cgroupMode(name string) (int, bool) {
	switch name {
	case "ignore":
		return 0, true
	case "soft":
		return 3, true
	case "full":
		return 4, true
	case "strict":
		return 5, true
	case "": // criu's default, which is soft
		return 6, true
	}
	return 0, false
}

// Check refuses values that criu would not know; the names are those of zbox's flags.
func (o *Options) Check() error {
	if _, ok := cgroupMode(o.ManageCgroups); !ok {
		return fmt.Errorf("--manage-cgroups-mode: %q is not soft, full, strict or ignore", o.ManageCgroups)
	}
	if _, ok := networkLock(o.NetworkLock); !ok && o.NetworkLock != "" {
		return fmt.Errorf("--network-lock: %q is not iptables, nftables or skip", o.NetworkLock)
	}
	if o.PageServer != "" {
		if _, _, err := pageServer(o.PageServer); err != nil {
			return err
		}
	}
	return nil
}

func pageServer(text string) (address string, port int, err error) {
	address, number, err := net.SplitHostPort(text)
	if err == nil {
		port, err = strconv.Atoi(number)
	}
	if err != nil || address == "" || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("--page-server: %q is not ADDRESS:PORT", text)
	}
	return address, port, nil
}

// logLevel is "debug information": an error alone seldom says enough.
const logLevel = 4

// encode writes the options of a request that was checked.
func (o *Options) encode(restore bool) message {
	var m message
	m.integer(1, o.ImagesDirFD)
	if o.Pid != 0 {
		m.integer(2, o.Pid)
	}
	m.flag(3, o.LeaveRunning)
	m.flag(4, o.ExtUnixSk)
	m.flag(5, o.TCPEstablished)
	m.flag(6, restore) // evasive_devices: a device under another name will do
	m.flag(7, o.ShellJob)
	m.flag(8, o.FileLocks)
	m.integer(9, logLevel)
	m.text(10, o.LogFile)
	o.encodePageServer(&m)
	m.flag(12, true) // notify_scripts
	m.text(13, o.Root)
	m.text(14, o.ParentImage)
	m.flag(15, o.TrackMem)
	m.flag(16, o.AutoDedup)
	if o.WorkDirFD != 0 {
		m.integer(17, o.WorkDirFD)
	}
	m.flag(18, o.LinkRemap)
	for _, e := range o.ExternalMounts {
		m.bytes(23, pair(e.Key, e.Value))
	}
	m.flag(24, true) // manage_cgroups: older than its mode
	for controller, path := range o.CgroupRoots {
		m.bytes(25, pair(controller, path))
	}
	m.flag(26, restore) // rst_sibling: the restored init is our child, not criu's
	for _, i := range o.InheritFDs {
		var sub message
		sub.text(1, i.Key)
		sub.integer(2, i.FD)
		m.bytes(27, sub)
	}
	mode, _ := cgroupMode(o.ManageCgroups)
	m.integer(34, mode)
	for _, e := range o.External {
		m.text(37, e)
	}
	if o.EmptyNamespaces != 0 {
		m.number(38, uint64(o.EmptyNamespaces))
	}
	for _, j := range o.JoinNamespaces {
		m.bytes(39, pair(j.Type, j.Path))
	}
	m.text(44, o.FreezeCgroup)
	m.flag(46, o.TCPSkipInFlight)
	m.flag(48, o.LazyPages)
	m.flag(50, true) // orphan_pts_master: the master of a terminal is handed to us
	m.text(51, o.ConfigFile)
	m.flag(52, o.TCPClose)
	m.text(53, o.LSMProfile)
	m.text(63, o.LSMMountContext)
	if lock, ok := networkLock(o.NetworkLock); ok {
		m.integer(64, lock)
	}
	return m
}

func (o *Options) encodePageServer(m *message) {
	if o.PageServer == "" {
		return
	}
	address, port, _ := pageServer(o.PageServer)
	var sub message
	sub.text(1, address)
	sub.integer(2, port)
	m.bytes(11, sub)
}

// pair is a message of two strings, which may be empty.
func pair(a, b string) message {
	var m message
	m.bytes(1, []byte(a))
	m.bytes(2, []byte(b))
	return m
}
