package plan

import (
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var hostSteps = []HostStep{
	&CgroupCreate{}, &CgroupLimit{}, &OpenCgroup{}, &CgroupJoin{}, &OpenTree{}, &OpenNamespace{}, &OpenPidfd{}, &OpenProgram{}, &OpenStart{},
	&Journal{}, &MapIDs{}, &RunHook{}, &NetDevice{}, &IntelRdt{},
}

func TestHeaderIsThatOfTheStage(t *testing.T) {
	file, err := os.ReadFile("../nsexec/stage/plan_abi.h")
	if err != nil {
		t.Fatal(err)
	}
	if string(file) != CHeader() {
		t.Error("nsexec/stage/plan_abi.h is not that of this package: go generate ./plan")
	}
}

// The lists of steps in the tests and in encode.go are complete: every Name method in names.go belongs to one.
func TestEveryStepIsListed(t *testing.T) {
	file, err := os.ReadFile("names.go")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, s := range allSteps() {
		listed[reflect.TypeOf(s).Elem().Name()+" "+s.Name()] = true
	}
	found := regexp.MustCompile(`(?m)^func \(\*(\w+)\) Name\(\) string +{ return "(\w+)" }`).FindAllStringSubmatch(string(file), -1)
	if len(found) != len(listed) {
		t.Errorf("%d steps in names.go, %d in the lists", len(found), len(listed))
	}
	for _, m := range found {
		if !listed[m[1]+" "+m[2]] {
			t.Errorf("%s (%s) is in no list", m[1], m[2])
		}
	}
}

func allSteps() []Step {
	var all []Step
	for _, s := range stageSteps {
		all = append(all, s)
	}
	for _, s := range hostSteps {
		all = append(all, s)
	}
	return all
}

func TestEveryStepHasANameAndOneLineOfText(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for _, s := range allSteps() {
		if st, ok := s.(StageStep); ok {
			fill(rand.New(rand.NewPCG(1, 2)), st)
		}
		if !name.MatchString(s.Name()) {
			t.Errorf("%T: name %q", s, s.Name())
		}
		if text := s.Text(); text == "" || strings.ContainsAny(text, "\n\r") {
			t.Errorf("%s: text %q", s.Name(), text)
		}
	}
}

func TestAddSynchronises(t *testing.T) {
	var names []string
	p := &Plan{}
	for _, s := range []Step{
		&CgroupCreate{FD: NoFD}, &OpenProc{}, &CgroupJoin{}, &Clone{Cgroup: NoFD}, &Journal{}, &MapIDs{}, &Setsid{}, &RunHook{}, &Exec{},
	} {
		p.Add("here", s)
	}
	for _, s := range p.Steps {
		names = append(names, s.Name())
	}
	want := "cgroup_create open_proc cgroup_join clone sync journal map_ids setsid sync run_hook exec"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestOrigin(t *testing.T) {
	p := &Plan{}
	p.Add("mounts[0]", &Mount{})
	p.Add("", &Setsid{})
	for n, want := range map[int]string{-1: "", 0: "", 1: "mounts[0]", 2: "default", 3: ""} {
		if got := p.Origin(n); got != want {
			t.Errorf("step %d comes from %q, want %q", n, got, want)
		}
	}
}

// Paths come from the configuration: they must not fake lines or reach the terminal as escape sequences.
func TestStringIsOneLinePerStep(t *testing.T) {
	p := &Plan{}
	p.Add("root.path", &Root{Path: "/a\n  2  host\x1b[2Jü\xff"})
	p.Add("", &RunHook{Kind: "prestart", Path: "/h"})
	want := "  1  stage  root            take /a\\n  2  host\\x1b[2Jü\\xff as the root filesystem  [root.path]\n" +
		"  2  host   run_hook        run the prestart hook /h  [default]\n"
	if got := p.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTexts(t *testing.T) {
	for _, tc := range []struct {
		step Step
		want string
	}{
		{&Clone{Cgroup: NoFD}, "start the init process"},
		{&Clone{Types: 0x20020000, Cgroup: 1}, "start the init process in new mount, pid namespaces, inside its cgroup"},
		{&Unshare{Types: 1}, "move to a new 0x1 namespace"},
		{&Propagation{Flags: 1<<14 | 1<<20}, "make all mounts recursively shared"},
		{
			&Bind{Source: "/a", Target: "/b", AttrSet: 0x01, AttrClear: 0x70, RecSet: 0x10, RecClear: 0x72, Propagation: 1 << 18, Flags: MountRecursive | MountCopySymlink},
			"bind recursively /a on /b (ro, without atime, recursively noatime, recursively without nosuid+atime, copy-symlink, private)",
		},
		{&Device{Path: "/d", Mode: 0o60640, Major: 8, Minor: 1, UID: 2, GID: 3}, "make device /d: b 8:1, mode 0640, owner 2:3"},
		{&Rlimit{Resource: 7, Soft: 1, Hard: ^uint64(0)}, "limit RLIMIT_NOFILE to 1 (hard unlimited)"},
		{&Exec{Args: []string{"a", "", "b c", "$d"}}, `execute a "" "b c" "$d"`},
		{&MapIDs{UIDs: []IDMap{{0, 1, 2}, {3, 4, 5}}, GIDs: []IDMap{{6, 7, 8}}, DenySetgroups: true}, "map uids 0:1:2,3:4:5 and gids 6:7:8, deny setgroups"},
		{&NetDevice{Device: "a", NewName: "a"}, "move the network device a into the container"},
		{&Capset{Effective: 1, Permitted: 3}, "set capabilities: effective 1 (0x1), permitted 2 (0x3), inheritable 0 (0x0)"},
	} {
		if got := tc.step.Text(); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.step.Name(), got, tc.want)
		}
	}
}
