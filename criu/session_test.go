package criu

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/checkpoint-restore/go-criu/v7/rpc"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// The test binary is also the criu of the tests: it speaks through the code that was generated from CRIU's own rpc.proto.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "swrk" {
		serve(os.Getenv("SCENARIO"))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type peer struct{ *net.UnixConn }

// serve is one criu swrk.
func serve(scenario string) {
	conn, err := net.FileConn(os.NewFile(socketFD, "socket"))
	if err != nil {
		panic(err)
	}
	p := peer{conn.(*net.UnixConn)}
	for {
		req := p.read()
		switch req.GetType() {
		case rpc.CriuReqType_VERSION:
			minor := int32(17)
			if scenario == "old" {
				minor = 15
			}
			p.write(&rpc.CriuResp{Type: req.Type, Success: proto.Bool(true), Version: &rpc.CriuVersion{
				MajorNumber: proto.Int32(3), MinorNumber: &minor, Sublevel: proto.Int32(1),
			}})
		case rpc.CriuReqType_FEATURE_CHECK:
			p.write(&rpc.CriuResp{Type: req.Type, Success: proto.Bool(true), Features: &rpc.CriuFeatures{
				MemTrack: proto.Bool(scenario != "no tracking"), LazyPages: proto.Bool(false),
			}})
		case rpc.CriuReqType_RESTORE:
			p.restore(req, scenario)
			return
		default:
			p.dump(req, scenario)
			return
		}
	}
}

func (p peer) read() *rpc.CriuReq {
	data := make([]byte, 64<<10)
	n, err := p.Read(data)
	if err != nil {
		os.Exit(1)
	}
	req := &rpc.CriuReq{}
	if err := proto.Unmarshal(data[:n], req); err != nil {
		panic(err)
	}
	return req
}

func (p peer) write(resp *rpc.CriuResp, fds ...int) {
	data, err := proto.Marshal(resp)
	if err != nil {
		panic(err)
	}
	if _, _, err := p.WriteMsgUnix(data, unix.UnixRights(fds...), nil); err != nil {
		os.Exit(1)
	}
}

// tell sends a notification and returns whether its receiver agrees.
func (p peer) tell(script string, pid int, fds ...int) bool {
	notify := rpc.CriuReqType_NOTIFY
	p.write(&rpc.CriuResp{Type: &notify, Success: proto.Bool(true), Notify: &rpc.CriuNotify{
		Script: &script, Pid: proto.Int32(int32(pid)),
	}}, fds...)
	answer := p.read()
	return answer.GetType() == notify && answer.GetNotifySuccess()
}

func (p peer) dump(req *rpc.CriuReq, scenario string) {
	switch scenario {
	case "crash":
		return
	case "killed":
		child := exec.Command("cat")
		child.Stdin, child.ExtraFiles = os.Stdin, []*os.File{os.NewFile(socketFD, "socket")}
		_ = child.Start()
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	resp := &rpc.CriuResp{Type: req.Type, Success: proto.Bool(scenario != "failure")}
	switch scenario {
	case "failure":
		resp.CrErrno, resp.CrErrmsg = proto.Int32(int32(unix.EBUSY)), proto.String("Can't lookup mount=22")
	default:
		p.tell("pre-dump", 0)
		p.tell("post-dump", 0)
	}
	p.write(resp)
}

func (p peer) restore(req *rpc.CriuReq, scenario string) {
	p.tell("setup-namespaces", 4711)
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	fmt.Fprint(w, "from the terminal")
	w.Close()
	p.tell("orphan-pts-master", 4711, int(r.Fd()))
	agreed := p.tell("pre-resume", 4711)
	p.write(&rpc.CriuResp{Type: req.Type, Success: &agreed, Restore: &rpc.CriuRestoreResp{Pid: proto.Int32(4711)}})
}

// open starts a session with the criu of the tests.
func open(t *testing.T, scenario string) *Session {
	t.Helper()
	t.Setenv("SCENARIO", scenario)
	s, err := New(os.Args[0], [3]*os.File{os.Stdin, os.Stdout, os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func started(t *testing.T, scenario string) *Session {
	t.Helper()
	s := open(t, scenario)
	if _, err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

func agree(Notification) error { return nil }

func TestDumpIsToldOfItsProgress(t *testing.T) {
	var scripts []string
	err := started(t, "").Dump(&Options{}, func(n Notification) error {
		scripts = append(scripts, n.Script)
		return nil
	})
	if want := []string{"pre-dump", "post-dump"}; err != nil || !slices.Equal(scripts, want) {
		t.Errorf("got %v, %v, want %v", scripts, err, want)
	}
}

func TestRestoreHandsOverTheTerminal(t *testing.T) {
	var text string
	pid, err := started(t, "").Restore(&Options{}, func(n Notification) error {
		if n.File != nil {
			defer n.File.Close()
			data := make([]byte, 100)
			count, err := n.File.Read(data)
			text = n.Script + ": " + string(data[:count])
			return err
		}
		return nil
	})
	if err != nil || pid != 4711 || text != "orphan-pts-master: from the terminal" {
		t.Errorf("got %d, %v, %q", pid, err, text)
	}
}

func TestRefusalOfTheReceiverIsTheError(t *testing.T) {
	refusal := errors.New("too many capabilities")
	_, err := started(t, "").Restore(&Options{}, func(n Notification) error {
		if n.File != nil {
			n.File.Close()
		}
		if n.Script == "pre-resume" {
			return refusal
		}
		return nil
	})
	if !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
}

func TestFailuresAreTold(t *testing.T) {
	for scenario, want := range map[string]string{
		"failure": "criu: Can't lookup mount=22",
		"crash":   "criu has ended without an answer",
	} {
		if err := started(t, scenario).Dump(&Options{}, agree); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", scenario, err, want)
		}
	}
	var failure *Error
	if err := started(t, "failure").Dump(&Options{}, agree); !errors.As(err, &failure) || failure.Errno != unix.EBUSY {
		t.Errorf("got %v", err)
	}
}

// A criu that is killed, by the kernel for want of memory perhaps, leaves children that have its socket.
func TestEndOfAKilledCriuIsSeen(t *testing.T) {
	t.Setenv("SCENARIO", "killed")
	stdin, childLives, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer childLives.Close()
	s, err := New("/proc/self/exe", [3]*os.File{stdin})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Start(); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	if err := s.Dump(&Options{}, agree); err == nil || err.Error() != "criu has ended without an answer" {
		t.Errorf("got %v", err)
	}
}

// CRIU passes over what it does not know: an old one would leave out a part of what was asked for.
func TestOldCriuIsRefused(t *testing.T) {
	_, err := open(t, "old").Start()
	if want := os.Args[0] + " is CRIU 3.15: 3.16 or newer is needed"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestMissingCriuIsNamed(t *testing.T) {
	_, err := New("/nowhere/criu", [3]*os.File{})
	if want := "stat /nowhere/criu: no such file or directory; checkpoints need CRIU (the package criu)"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestMissingFeaturesAreErrors(t *testing.T) {
	if err := started(t, "no tracking").PreDump(&Options{}, agree); err == nil || !strings.Contains(err.Error(), "does not track changed memory") {
		t.Errorf("pre-dump: got %v", err)
	}
	if err := started(t, "").PreDump(&Options{}, agree); err != nil {
		t.Errorf("pre-dump: got %v", err)
	}
	if err := started(t, "").Dump(&Options{LazyPages: true}, agree); err == nil || !strings.Contains(err.Error(), "memory on demand") {
		t.Errorf("lazy pages: got %v", err)
	}
}

func TestOptionsAreWhatCriuUnderstands(t *testing.T) {
	o := Options{
		ImagesDirFD: 7, WorkDirFD: 8, LogFile: "dump.log", ConfigFile: "/etc/criu/zbox.conf", Pid: 12, Root: "/rootfs",
		LeaveRunning: true, ExtUnixSk: true, TCPEstablished: true, TCPSkipInFlight: true, TCPClose: true, ShellJob: true, FileLocks: true,
		LinkRemap: true, AutoDedup: true, TrackMem: true, ParentImage: "../parent", PageServer: "127.0.0.1:99",
		NetworkLock: "nftables", ManageCgroups: "strict", FreezeCgroup: "/sys/fs/cgroup/a", CgroupRoots: map[string]string{"": "/a"},
		EmptyNamespaces: unix.CLONE_NEWNET, External: []string{"net[9]:key"}, ExternalMounts: []ExternalMount{{"/data", "/data"}},
		InheritFDs: []InheritFD{{"pipe:[1]", 0}}, JoinNamespaces: []JoinNamespace{{"uts", "/proc/1/ns/uts"}},
		LSMProfile: "apparmor:web", LSMMountContext: "context",
	}
	yes := proto.Bool(true)
	strict, nftables := rpc.CriuCgMode_STRICT, rpc.CriuNetworkLockMethod_NFTABLES
	want := &rpc.CriuOpts{
		ImagesDirFd: proto.Int32(7), WorkDirFd: proto.Int32(8), LogFile: &o.LogFile, ConfigFile: &o.ConfigFile, Pid: proto.Int32(12), Root: &o.Root,
		LeaveRunning: yes, ExtUnixSk: yes, TcpEstablished: yes, TcpSkipInFlight: yes, TcpClose: yes, ShellJob: yes, FileLocks: yes,
		LinkRemap: yes, AutoDedup: yes, TrackMem: yes, ParentImg: &o.ParentImage,
		Ps:          &rpc.CriuPageServerInfo{Address: proto.String("127.0.0.1"), Port: proto.Int32(99)},
		NetworkLock: &nftables, ManageCgroups: yes, ManageCgroupsMode: &strict, FreezeCgroup: &o.FreezeCgroup,
		CgRoot:  []*rpc.CgroupRoot{{Ctrl: proto.String(""), Path: proto.String("/a")}},
		EmptyNs: proto.Uint32(unix.CLONE_NEWNET), External: o.External,
		ExtMnt:     []*rpc.ExtMountMap{{Key: proto.String("/data"), Val: proto.String("/data")}},
		InheritFd:  []*rpc.InheritFd{{Key: proto.String("pipe:[1]"), Fd: proto.Int32(0)}},
		JoinNs:     []*rpc.JoinNamespace{{Ns: proto.String("uts"), NsFile: proto.String("/proc/1/ns/uts")}},
		LsmProfile: &o.LSMProfile, LsmMountContext: &o.LSMMountContext,
		LogLevel: proto.Int32(logLevel), NotifyScripts: yes, OrphanPtsMaster: yes,
	}
	for _, restore := range []bool{false, true} {
		if restore {
			want.RstSibling, want.EvasiveDevices = yes, yes
		}
		got := &rpc.CriuOpts{}
		if err := proto.Unmarshal(o.encode(restore), got); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(got, want) {
			t.Errorf("restore %v: got\n%v\nwant\n%v", restore, got, want)
		}
	}
}

func TestWrongValuesAreRefused(t *testing.T) {
	for want, o := range map[string]Options{
		`--manage-cgroups-mode: "hard" is not soft, full, strict or ignore`: {ManageCgroups: "hard"},
		`--network-lock: "ipset" is not iptables, nftables or skip`:         {NetworkLock: "ipset"},
		`--page-server: "localhost" is not ADDRESS:PORT`:                    {PageServer: "localhost"},
		`--page-server: "a:70000" is not ADDRESS:PORT`:                      {PageServer: "a:70000"},
	} {
		if err := o.Check(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, o := range []Options{{}, {ManageCgroups: "ignore", NetworkLock: "skip", PageServer: "[::1]:1"}} {
		if err := o.Check(); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	dump := rpc.CriuReqType_DUMP
	data, err := proto.Marshal(&rpc.CriuResp{Type: &dump, Success: proto.Bool(true), CrErrmsg: proto.String("x"), Notify: &rpc.CriuNotify{Script: proto.String("s")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = decodeAnswer(data) // must not panic
	})
}
