package translate

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "write the golden files and the tables of docs/sandbox.md anew")

// example is the seed's configuration.
func example(t *testing.T) *Config {
	t.Helper()
	c, err := Load("../examples/sandbox.json")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// golden compares got with the file, or writes it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs: look at `go test ./translate -update` and git diff", path)
	}
}

func TestSpecOfTheSeedsExample(t *testing.T) {
	cases := []struct {
		name string
		args []string
		opts Options
	}{
		{"root", nil, Options{
			Arch: "amd64", Zbox: "/usr/bin/zbox", StateRoot: "/run/zbox", Path: "/bin",
			Nameservers: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
		}},
		{"rootless-terminal", []string{"ls", "-l"}, Options{
			UID: 1000, GID: 100, Terminal: true, Term: "vt100", CgroupV2: true, Arch: "arm64",
			Zbox: "/usr/bin/zbox", StateRoot: "/run/user/1000/zbox", Path: "/usr/bin:/bin",
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s, warnings, err := example(t).Spec(tc.args, tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.MarshalIndent(s, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", tc.name+".json"), append(text, '\n'))
			var want []string
			if tc.opts.Nameservers == nil {
				want = []string{"network_access: names will not resolve: /etc/resolv.conf and /run/systemd/resolve/resolv.conf name no IPv4 resolver but the host's own loopback; give the addresses of some in dns"}
			}
			if !slices.Equal(warnings, want) {
				t.Errorf("warnings %q, want %q", warnings, want)
			}
		})
	}
}

func TestSpecArguments(t *testing.T) {
	cases := []struct {
		name string
		args []string
		want []string
	}{
		{"none are the seed's sh", nil, []string{"/bin/busybox", "sh"}},
		{"given ones replace sh", []string{"sh", "-c", "exit 3"}, []string{"/bin/busybox", "sh", "-c", "exit 3"}},
		{"an empty one is an argument", []string{""}, []string{"/bin/busybox", ""}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s, _, err := example(t).Spec(tc.args, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.Process.Args, tc.want) {
				t.Errorf("got %q, want %q", s.Process.Args, tc.want)
			}
		})
	}
}

func TestSpecLimits(t *testing.T) {
	cases := []struct {
		cores, percent, mb int64
		quota, bytes       int64
	}{
		{1, 1, 1, 1000, 1 << 20},
		{2, 10, 3, 20000, 3 << 20},
		{3, 33, 1024, 99000, 1 << 30},
		{8192, 100, 4294967295, 819200000, 4294967295 << 20},
	}
	for _, tc := range cases {
		c := preset(&Config{Name: "x", Binary: "/bin/x", CPUCores: tc.cores, CPULimitPercent: tc.percent, MemoryLimitMB: tc.mb})
		r := c.resources(Options{})
		if *r.CPU.Quota != tc.quota || *r.CPU.Period != 100000 || *r.Memory.Limit != tc.bytes || *r.Memory.Swap != tc.bytes {
			t.Errorf("%+v: quota %d, memory %d, swap %d", tc, *r.CPU.Quota, *r.Memory.Limit, *r.Memory.Swap)
		}
		if r.CPU.Cpus != "" || r.Unified != nil {
			t.Errorf("%+v: cpus %q, unified %v", tc, r.CPU.Cpus, r.Unified)
		}
	}
}

func TestHostname(t *testing.T) {
	for name, want := range map[string]string{
		"zbox-sandbox": "zbox-sandbox", "a_b": "a-b", "x__": "x", "a.b.": "a.b", "0": "0", strings.Repeat("x", 63): strings.Repeat("x", 63),
	} {
		if got := (&Config{Name: name}).hostname(); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestSubordinateRangeOfRoot(t *testing.T) {
	cases := []struct {
		name, text string
		want       IDRange
	}{
		{"no line", "", DefaultRange},
		{"another user's line only", "user:100000:65536\n", DefaultRange},
		{"by name", "user:100000:65536\nroot:200000:65536\n", IDRange{200000, 65536}},
		{"by number", "0:200000:70000\n", IDRange{200000, 65536}},
		{"the first that is large enough", "root:100000:1000\nroot:300000:65536\n", IDRange{300000, 65536}},
		{"one with the host's root in it is none", "root:0:4294967295\n", DefaultRange},
		{"one past the last id is none", "root:4294967000:65536\n", DefaultRange},
		{"malformed lines are passed over", "root\nroot:x:65536\nroot:400000:65536", IDRange{400000, 65536}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := parseSubordinate(tc.text, []string{"root", "0"}, rangeSize)
			if !ok {
				got = DefaultRange
			}
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// Root of a user namespace has only the ids that were given to it.
func TestNestedRootIsItsSandboxesRoot(t *testing.T) {
	for name, tc := range map[string]struct {
		idMap string
		want  bool
	}{
		"the initial one":         {"         0          0 4294967295\n", true},
		"one id":                  {"         0       1000          1\n", false},
		"a container's range":     {"0 1000 1\n1 100000 65536\n", false},
		"one that has the range":  {"0 1000 1\n1879048192 100000 65536\n", true},
		"one that has half of it": {"0 1000 1\n1879048192 100000 32768\n", false},
	} {
		if got := mapped(tc.idMap, DefaultRange); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	m, err := preset(&Config{}).idMaps(Options{Nested: true})
	if want := []specs.LinuxIDMapping{{Size: 1}}; err != nil || !slices.Equal(m.uids, want) || !slices.Equal(m.gids, want) {
		t.Errorf("got %+v, %v", m, err)
	}
}

// Every call that is denied whatever its arguments is denied once, so that no rule hides another.
func TestDeniedNamesEachCallOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range Denied() {
		for _, name := range g.Names {
			if seen[name] {
				t.Errorf("%s is listed twice", name)
			}
			seen[name] = true
		}
	}
	for _, rule := range (&Config{}).argumentRules("amd64") {
		for _, name := range rule.Names {
			if seen[name] {
				t.Errorf("%s is denied by argument and as a whole", name)
			}
		}
	}
}

func TestNoProfileForAnUnknownArchitecture(t *testing.T) {
	_, _, err := example(t).Spec(nil, Options{Arch: "pdp11"})
	const want = "building the seccomp profile: no system call table for the architecture pdp11"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// The rules on socket(2) are tried on every value that a register can hold at the edges of the families.
func TestSocketRulesLeaveFourFamilies(t *testing.T) {
	denied := func(family uint64) bool {
		return slices.ContainsFunc(socketConditions(), func(args []specs.LinuxSeccompArg) bool {
			a := args[0]
			return a.Op == specs.OpEqualTo && family == a.Value || a.Op == specs.OpGreaterThan && family > a.Value
		})
	}
	allowed := []uint64{}
	for family := range uint64(256) {
		if !denied(family) {
			allowed = append(allowed, family)
		}
	}
	if want := []uint64{0, 1, 2, 10, 16}; !reflect.DeepEqual(allowed, want) {
		t.Errorf("allowed %v, want %v", allowed, want)
	}
	if !denied(1<<32|40) || !denied(1<<63|3) {
		t.Error("bits above 32 hide a family")
	}
}
