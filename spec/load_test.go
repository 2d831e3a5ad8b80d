package spec

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func write(t *testing.T, name, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func encode(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLoad(t *testing.T) {
	s, _, err := Load(write(t, "config.json", encode(t, Example(false))))
	if err != nil {
		t.Fatal(err)
	}
	if s.Process.Args[0] != "sh" || s.Root.Path != "rootfs" {
		t.Errorf("args %v, root %v", s.Process.Args, s.Root)
	}
}

func TestLoadNamesTheFileInErrors(t *testing.T) {
	example := Example(false)
	example.Process.Cwd = "tmp"
	for _, tt := range []struct{ name, data, want string }{
		{"broken", "{", "config.json:1:2: unexpected end of JSON input, at: { --> (end of file)"},
		{"invalid", encode(t, example), `config.json: process.cwd: "tmp" is not an absolute path`},
		{"null", "null", "config.json: ociVersion: missing"},
		{"too large", strings.Repeat(" ", 16<<20) + "{}", "config.json: larger than 16 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, "config.json", tt.data)
			_, _, err := Load(path)
			if got := strings.TrimPrefix(errorText(err), filepath.Dir(path)+"/"); got != tt.want {
				t.Errorf("%s\nnot %s", got, tt.want)
			}
		})
	}
}

func TestLoadOfAMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	_, _, err := Load(path)
	if want := "open " + path + ": no such file or directory"; errorText(err) != want || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v\nnot %s", err, want)
	}
}

func TestLoadProcess(t *testing.T) {
	path := write(t, "process.json", `{"cwd": "/", "args": ["true"], "user": {"uid": 1, "gid": 2}}`)
	p, err := LoadProcess(path)
	if err != nil {
		t.Fatal(err)
	}
	if p.User.UID != 1 || p.User.GID != 2 || p.Args[0] != "true" {
		t.Errorf("%+v", p)
	}
	path = write(t, "process.json", `{"cwd": "/", "args": []}`)
	if _, err = LoadProcess(path); errorText(err) != path+": args: missing; at least one entry is needed" {
		t.Error(err)
	}
}

func TestLoadResources(t *testing.T) {
	r, err := LoadResources(strings.NewReader(`{"memory": {"limit": 5}}`), "standard input")
	if err != nil {
		t.Fatal(err)
	}
	if *r.Memory.Limit != 5 {
		t.Errorf("%+v", r.Memory)
	}
	for _, tt := range []struct{ data, want string }{
		{`{"memory": {"limit": -5}}`, "standard input: memory.limit: -5 is neither -1 (no limit) nor a number of bytes"},
		{"", "standard input:1:1: the file is empty"},
	} {
		if _, err := LoadResources(strings.NewReader(tt.data), "standard input"); errorText(err) != tt.want {
			t.Errorf("%v\nnot %s", err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []any{Example(false), Example(true), full()} {
		data, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"mounts":[{"options":["a" 5]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("config.json", data)
		checkOneLine(t, data, err)
		if err == nil {
			checkOneLine(t, nil, Validate(s))
		}
	})
}

func FuzzDecodeStrict(f *testing.F) {
	f.Add([]byte(`{"name": "a", "port_forwards": [{"host": 1}], "optional": {"hst": 2}, "labels": {"x": {"host": 3}}}`))
	f.Add([]byte("{\"\\u0000\":\n[1,{}],\"name\":null}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c strictConfig
		err := Decode("sandbox.json", data, &c, DecodeOptions{Strict: true})
		checkOneLine(t, data, err)
		// What Decode accepts encoding/json accepts without unknown fields.
		dec := json.NewDecoder(strings.NewReader(string(data)))
		dec.DisallowUnknownFields()
		var other strictConfig
		if theirs := dec.Decode(&other); err == nil && theirs != nil {
			t.Errorf("accepted, but: %v", theirs)
		}
	})
}

// checkOneLine: an error is one line, and its place is in the file.
func checkOneLine(t *testing.T, data []byte, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
		t.Errorf("more than a line: %q", err)
	}
	var syntax *SyntaxError
	if !errors.As(err, &syntax) {
		if data != nil {
			t.Errorf("no SyntaxError: %v", err)
		}
		return
	}
	if lines := strings.Count(string(data), "\n") + 1; syntax.Line < 1 || syntax.Line > lines || syntax.Column < 1 {
		t.Errorf("line %d of %d, column %d", syntax.Line, lines, syntax.Column)
	}
	if strings.Count(syntax.Spot, "\n") != 1 {
		t.Errorf("spot %q", syntax.Spot)
	}
}

// full is a valid configuration with every field that Validate looks at.
func full() *specs.Spec {
	s := Example(false)
	limit, priority := int64(1<<20), uint64(100000)
	s.Hostname, s.Domainname = "host", "domain"
	s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/true", Timeout: ptr(5), Env: []string{"A=b"}}}}
	s.Process.OOMScoreAdj = ptr(100)
	s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5}
	s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 4}
	s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0-1", Final: "0"}
	s.Process.ConsoleSize = &specs.Box{Height: 25, Width: 80}
	s.Linux.Namespaces = nil
	for _, t := range namespaceTypes {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: t})
	}
	ids := []specs.LinuxIDMapping{{HostID: 100000, Size: 1000}, {ContainerID: 1000, HostID: 5, Size: 1}}
	s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
	s.Mounts = append(s.Mounts, specs.Mount{
		Destination: "data", Source: "/data", Options: []string{"bind", "idmap"}, UIDMappings: ids, GIDMappings: ids,
	})
	s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: -5, Nanosecs: 999999999}, "boottime": {}}
	s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Major: 10, Minor: 200}, {Path: "/run/fifo", Type: "p"}}
	s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth1": {}, "eth2": {Name: "net%d"}}
	s.Linux.RootfsPropagation = "rslave"
	s.Linux.Resources = &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(-1)), Access: "r"}},
		Memory:  &specs.LinuxMemory{Limit: &limit, Swap: ptr(int64(-1)), Swappiness: ptr(^uint64(0))},
		CPU:     &specs.LinuxCPU{Quota: ptr(int64(50000)), Burst: ptr(uint64(50000)), Period: &priority, Cpus: "0,2-3", Mems: "", Idle: ptr(int64(1))},
		Pids:    &specs.LinuxPids{Limit: ptr(int64(0))},
		BlockIO: &specs.LinuxBlockIO{
			Weight:                ptr(uint16(0)),
			WeightDevice:          []specs.LinuxWeightDevice{{Weight: ptr(uint16(500))}},
			ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{Rate: 1}},
		},
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 1}},
		Network:        &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "eth0", Priority: 1}}},
		Rdma:           map[string]specs.LinuxRdma{"mlx5_1": {HcaHandles: ptr(uint32(3))}},
		Unified:        map[string]string{"memory.high": "max"},
	}
	s.Linux.Seccomp = &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno, DefaultErrnoRet: ptr(uint(38)), Architectures: []specs.Arch{specs.ArchX86_64},
		Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog}, ListenerPath: "/run/s", ListenerMetadata: "m",
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"no_such_call"}, Action: specs.ActTrace, ErrnoRet: ptr(uint(65535))},
			{Names: []string{"mount"}, Action: specs.ActNotify, Args: []specs.LinuxSeccompArg{{Index: 5, Op: specs.OpMaskedEqual}}},
		},
	}
	s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0-1", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}
	s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "/", MemBwSchema: "MB:0=20", Schemata: []string{"L3:0=f"}}
	return s
}

func ptr[T any](v T) *T { return &v }
