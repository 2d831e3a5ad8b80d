package security

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/tests/integration"
)

// The image's own passwd file maps the name "1000" to root.
func TestNumericUserIsNeverLookedUpAsAName_CVE_2016_3697(t *testing.T) {
	r := integration.New(t)
	b := integration.NewBundle(t, func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} })
	b.WriteFile("etc/passwd.new", "1000:x:0:0::/:/bin/sh\n", 0o644)
	b.WriteFile("etc/group.new", "1000:x:0:\n", 0o644)
	for _, name := range []string{"passwd", "group"} {
		if err := os.Rename(b.Rootfs("etc", name+".new"), b.Rootfs("etc", name)); err != nil {
			t.Fatal(err)
		}
	}
	seen := r.RunProbe(b)
	if want := []int{1000, 1000, 1000, 1000}; !slices.Equal(seen.UID, want) || !slices.Equal(seen.GID, want) {
		t.Errorf("uid %v and gid %v, want %v", seen.UID, seen.GID, want)
	}

	b.Change(integration.Sleep)
	c := r.Start(b)
	if seen := c.Probe("--user", "1000:1000"); seen.UID[0] != 1000 || seen.GID[0] != 1000 {
		t.Errorf("exec --user 1000:1000: uid %v and gid %v", seen.UID, seen.GID)
	}
}

func TestExecCapNeverGrowsTheInheritableSet_CVE_2022_29162(t *testing.T) {
	const netRaw = "2000"
	r := integration.New(t)
	c := r.Start(integration.NewBundle(t, integration.Sleep))

	seen := c.Probe("--cap", "CAP_NET_RAW")
	if seen.Caps["Inh"] != "" || seen.Caps["Amb"] != "" {
		t.Errorf("inheritable %q and ambient %q, want none", seen.Caps["Inh"], seen.Caps["Amb"])
	}
	if !strings.Contains(seen.Caps["Bnd"], netRaw[:1]) || seen.Caps["Eff"] != seen.Caps["Bnd"] {
		t.Errorf("effective %q and bounding %q: the capability asked for is not there", seen.Caps["Eff"], seen.Caps["Bnd"])
	}
	if seen := c.Probe(); seen.Caps["Inh"] != "" {
		t.Errorf("exec without flags: inheritable %q, want none", seen.Caps["Inh"])
	}
	if seen := r.RunProbe(integration.NewBundle(t)); seen.Caps["Inh"] != "" {
		t.Errorf("run: inheritable %q, want none", seen.Caps["Inh"])
	}

	// The configuration may still ask for it.
	kill := []string{"CAP_KILL"}
	seen = r.RunProbe(integration.NewBundle(t, func(s *specs.Spec) {
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: kill, Effective: kill, Permitted: kill, Inheritable: kill}
	}))
	if want := "20"; seen.Caps["Inh"] != want {
		t.Errorf("inheritable %q, want %q as configured", seen.Caps["Inh"], want)
	}
}

func TestIDCannotLeaveTheStateDirectory_crunIDValidation(t *testing.T) {
	r := integration.New(t)
	b := integration.NewBundle(t)
	before := describeTree(t, filepath.Dir(r.Root))
	for name, id := range map[string]string{
		"dot": ".", "parent": "..", "slash": "a/b", "path": "../../x", "absolute": "/x", "trailing slash": "x/", "empty": "",
		"long": strings.Repeat("x", 5000), "newline": "a\nb", "NUL look-alike": "a\\x00b", "space": "a b", "percent": "a%2fb",
	} {
		for _, command := range [][]string{{"create", "--bundle", b.Dir}, {"run", "--bundle", b.Dir}, {"state"}, {"delete", "--force"}} {
			t.Run(command[0]+" "+name, func(t *testing.T) {
				res := r.Do(append(slices.Clone(command), "--", id)...)
				if res.Code == 0 && command[0] != "delete" {
					t.Errorf("%q was accepted", id)
				}
			})
		}
	}
	after := describeTree(t, filepath.Dir(r.Root))
	for path := range after {
		// The outputs of the calls above and the root itself are no escape.
		if _, old := before[path]; !old && !strings.Contains(path, "output-") && path != r.Root {
			t.Errorf("made outside of a container's directory: %s", path)
		}
	}

	id := r.ID("aZ09_+-.x")
	b.PlaceCgroup(id)
	r.Must("run", "--bundle", b.Dir, id)
}

func TestExecUserIsParsedAsAWhole_CVE_2026_30892(t *testing.T) {
	r := integration.New(t)
	c := r.Start(integration.NewBundle(t, integration.Sleep))
	for _, test := range []struct {
		user     string
		uid, gid int
	}{
		{"1", 1, 0}, {"1:1", 1, 1}, {"1:0", 1, 0}, {"0:1", 0, 1}, {"65534:65534", 65534, 65534}, {"2147483647:2147483647", 2147483647, 2147483647},
	} {
		t.Run(test.user, func(t *testing.T) {
			if seen := c.Probe("--user", test.user); seen.UID[0] != test.uid || seen.GID[0] != test.gid {
				t.Errorf("uid %d and gid %d, want %d and %d", seen.UID[0], seen.GID[0], test.uid, test.gid)
			}
		})
	}
	for _, user := range []string{"", ":1", "1:", ":", "1x", "x1", "1:x", "root", "-1", "+1", " 1", "1 ", "0x1", "1:1:1", "1.0", "4294967295", "4294967296", "1:4294967295"} {
		t.Run(fmt.Sprintf("refused %q", user), func(t *testing.T) {
			if res := c.Exec("--user", user, c.ID, "/bin/id"); res.Code != 255 {
				t.Errorf("exit %d, want 255; stdout %s; stderr %s", res.Code, res.Stdout, res.Stderr)
			}
		})
	}
}

// containerd's CVE-2024-40635: ids beyond 31 bits wrapped to root.
func TestIDsOfTheConfigurationAreExact_CVE_2024_40635(t *testing.T) {
	for _, id := range []string{"0", "1", "2147483647", "2147483648", "4294967294"} {
		t.Run(id, func(t *testing.T) {
			r := integration.New(t)
			b := integration.NewBundle(t)
			writeUser(t, b, id)
			if len(id) == 10 && id > "2147483647" && !integration.IsZbox() {
				r.RefuseRun(b, "range") // runc takes 31 bits and says so, which is as good
				return
			}
			if seen := r.RunProbe(b); fmt.Sprint(seen.UID[0]) != id || fmt.Sprint(seen.GID[0]) != id {
				t.Errorf("uid %d and gid %d, want %s", seen.UID[0], seen.GID[0], id)
			}
		})
	}
	for _, id := range []string{"4294967295", "4294967296", "18446744073709551615", "-1", "1.5", `"0"`} {
		t.Run("refused "+id, func(t *testing.T) {
			r := integration.New(t)
			b := integration.NewBundle(t)
			writeUser(t, b, id)
			r.RefuseRun(b)
		})
	}
}

func writeUser(t *testing.T, b *integration.Bundle, id string) {
	t.Helper()
	text, err := json.Marshal(b.Spec)
	if err != nil {
		t.Fatal(err)
	}
	const plain = `"user":{"uid":0,"gid":0}`
	if !strings.Contains(string(text), plain) {
		t.Fatalf("%s is not in %s", plain, text)
	}
	b.WriteConfig(strings.Replace(string(text), plain, fmt.Sprintf(`"user":{"uid":%s,"gid":%s}`, id, id), 1))
}

// moby's CVE-2022-36109 and podman's CVE-2022-2989: the groups of the runtime's caller, or the primary group, were kept or lost.
func TestGroupsAreExactlyThoseAsked_CVE_2022_36109(t *testing.T) {
	for _, test := range []struct {
		name   string
		groups []uint32
		want   string
	}{
		{"none", nil, "100"},
		{"two", []uint32{5, 44}, "100 5 44"},
		{"the primary one again", []uint32{100}, "100"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := integration.New(t)
			b := integration.NewBundle(t, integration.Args("/bin/id", "-G"), func(s *specs.Spec) {
				s.Process.User = specs.User{UID: 1000, GID: 100, AdditionalGids: test.groups}
			})
			cmd := r.RunCommand(b)
			cmd.SysProcAttr = withGroups(6, 27)
			res := r.DoCommand(cmd)
			if res.Code != 0 || strings.TrimSpace(res.Stdout) != test.want {
				t.Errorf("exit %d, groups %q, want %q; stderr %s", res.Code, res.Stdout, test.want, res.Stderr)
			}
		})
	}
}
