package compile

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/host/facts"
)

// Request is everything that decides what the plan of a new container looks like.
type Request struct {
	ID     string
	Bundle string // absolute
	Spec   *specs.Spec
	Facts  facts.Facts

	// CgroupPath is the container's cgroup as libzbox will make it, for the text and the cgroup mounts; "" without one.
	CgroupPath string
	// CgroupPaths are the container's absolute cgroup directories by v1 controller, without those that it cannot have.
	CgroupPaths map[string]string
	// CloneIntoCgroup: the cgroup exists before the stage, on v2, so that init is born in it.
	CloneIntoCgroup bool

	NoPivot      bool
	NoNewKeyring bool
	PreserveFDs  int // from --preserve-fds
	ListenFDs    int // socket activation: LISTEN_FDS of zbox's own environment, 0 for none
	// ListenFDNames is LISTEN_FDNAMES, handed on with ListenFDs.
	ListenFDNames string
	// NotifySocket is the path of the sd_notify socket inside the container, "" for none; NotifyDir is the host directory that is
	// bind-mounted to its parent.
	NotifySocket, NotifyDir string
	// WaitStart: stop at the start barrier (create); false goes straight on (run).
	WaitStart bool
	// DieWithParent: the kernel kills init when zbox ends.
	DieWithParent bool
	// Filter is the compiled seccomp filter (see Filter); nil when the configuration has none, or for explain.
	Filter []byte
}

// ExecRequest is everything that decides what the plan of a process in an existing container looks like.
type ExecRequest struct {
	ID      string
	Spec    *specs.Spec    // the configuration that the container was created with
	Process *specs.Process // what to execute
	Facts   facts.Facts
	InitPid int
	// OwnUserns: the container's user namespace is not that of zbox.
	OwnUserns bool
	// JoinTypes is the mask of CLONE_NEW* in which the container's init differs from zbox.
	JoinTypes uint64
	// CgroupPath is the container's cgroup, "" without one; CloneIntoCgroup as in Request.
	CgroupPath      string
	CloneIntoCgroup bool
	PreserveFDs     int
	Filter          []byte
}
