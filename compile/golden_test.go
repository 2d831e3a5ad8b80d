package compile

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/host/facts"
	"github.com/bxrne/zbox/plan"
)

var update = flag.Bool("update", false, "rewrite testdata/plans/*/plan.txt")

// goldenCase is one directory below testdata/plans: config.json is the configuration, request.json is a Request, or with "exec"
// an ExecRequest whose process is to be executed. What request.json leaves out of the facts is as in baseFacts.
type goldenCase struct {
	Create *Request
	Exec   *ExecRequest
	config []byte
}

// baseFacts is a machine with cgroup v2 and zbox run by root.
func baseFacts() facts.Facts {
	return facts.Facts{
		KernelMajor: 6, KernelMinor: 12, LastCap: 40, Caps: 1<<41 - 1, Systemd: true, Kcore: true,
		Cgroup: facts.Cgroup{Unified: true, Self: map[string]string{"": "/user.slice"}},
	}
}

func loadGolden(t *testing.T, dir string) goldenCase {
	t.Helper()
	c := goldenCase{
		Create: &Request{ID: "box", Bundle: "/bundle", Facts: baseFacts()},
		Exec:   &ExecRequest{ID: "box", Facts: baseFacts(), InitPid: 4711},
	}
	var err error
	if c.config, err = os.ReadFile(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	request, err := os.ReadFile(filepath.Join(dir, "request.json"))
	if err != nil {
		t.Fatal(err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(c.config, &spec); err != nil {
		t.Fatal(err)
	}
	c.Create.Spec, c.Exec.Spec = &spec, &spec
	d := json.NewDecoder(bytes.NewReader(request))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		t.Fatalf("request.json: %v", err)
	}
	if bytes.Contains(request, []byte(`"Exec"`)) {
		c.Create = nil
	} else {
		c.Exec = nil
	}
	return c
}

func (c goldenCase) compile() (*plan.Plan, []string, error) {
	if c.Exec != nil {
		return Exec(*c.Exec)
	}
	return Create(*c.Create)
}

// text is what plan.txt holds: the steps, then the warnings.
func goldenText(p *plan.Plan, warnings []string) string {
	text := p.String()
	for _, w := range warnings {
		text += "warning: " + w + "\n"
	}
	return text
}

func TestGoldenPlans(t *testing.T) {
	dirs, err := filepath.Glob("testdata/plans/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("testdata/plans is empty: %v", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			c := loadGolden(t, dir)
			p, warnings, err := c.compile()
			if err != nil {
				t.Fatal(err)
			}
			checkPlan(t, p)
			checkOrigins(t, c, p)
			checkPurity(t, c)
			compareGolden(t, filepath.Join(dir, "plan.txt"), goldenText(p, warnings))
		})
	}
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Fatalf("%s:%d:\n got %s\nwant %s\n(go test ./compile -update rewrites it)", file, i+1, gotLines[i], wantLines[i])
		}
	}
	t.Fatalf("%s: got %d lines, want %d", file, len(gotLines), len(wantLines))
}

// checkPlan asserts what holds for every plan.
func checkPlan(t *testing.T, p *plan.Plan) {
	t.Helper()
	if _, err := p.Encode(); err != nil {
		t.Errorf("encoding: %v", err)
	}
	var opened plan.FD
	cloned, synced := false, false
	for i, s := range p.Steps {
		_, host := s.(plan.HostStep)
		switch {
		case host && cloned && !synced:
			t.Errorf("step %d (%s): a host step behind clone without a sync before it", i+1, s.Name())
		case host:
			if fd, ok := handedOver(s); ok {
				if fd != opened {
					t.Errorf("step %d (%s): hands over descriptor %d, want %d", i+1, s.Name(), fd, opened)
				}
				opened++
			}
		default:
			checkUses(t, i, s, opened)
		}
		_, isSync := s.(*plan.Sync)
		synced = isSync || (host && synced)
		if _, ok := s.(*plan.Clone); ok {
			cloned = true
		}
	}
	if _, ok := p.Steps[len(p.Steps)-1].(*plan.Exec); !ok {
		t.Errorf("the last step is %s, want exec", p.Steps[len(p.Steps)-1].Name())
	}
}

// handedOver is the descriptor that a host step opens.
func handedOver(s plan.Step) (plan.FD, bool) {
	f := reflect.ValueOf(s).Elem().FieldByName("FD")
	if !f.IsValid() || plan.FD(f.Int()) == plan.NoFD {
		return 0, false
	}
	return plan.FD(f.Int()), true
}

// checkUses: the stage uses only descriptors that were opened before.
func checkUses(t *testing.T, i int, s plan.Step, opened plan.FD) {
	t.Helper()
	v := reflect.ValueOf(s).Elem()
	for j := range v.NumField() {
		if fd, ok := v.Field(j).Interface().(plan.FD); ok && fd >= opened {
			t.Errorf("step %d (%s): uses descriptor %d of %d", i+1, s.Name(), fd, opened)
		}
	}
}

// notJSON are the origins that are no path of config.json.
var notJSON = map[string]bool{"default": true, "--no-pivot": true, "NOTIFY_SOCKET": true}

// checkOrigins: every origin is the path of a value in the configuration.
func checkOrigins(t *testing.T, c goldenCase, p *plan.Plan) {
	t.Helper()
	var config map[string]any
	if err := json.Unmarshal(c.config, &config); err != nil {
		t.Fatal(err)
	}
	if c.Exec != nil { // the process is that of the request
		data, err := json.Marshal(c.Exec.Process)
		if err != nil {
			t.Fatal(err)
		}
		var process any
		if err := json.Unmarshal(data, &process); err != nil {
			t.Fatal(err)
		}
		config["process"] = process
	}
	for i, origin := range p.Origins {
		if !notJSON[origin] && !hasPath(config, origin) {
			t.Errorf("step %d (%s): %s is not in the configuration", i+1, p.Steps[i].Name(), origin)
		}
	}
}

var pathElement = regexp.MustCompile(`^\.?([A-Za-z0-9]+)|^\[([0-9]+)\]|^\[("[^"]*")\]`)

func hasPath(v any, path string) bool {
	for path != "" {
		m := pathElement.FindStringSubmatch(path)
		if m == nil {
			return false
		}
		path = path[len(m[0]):]
		if m[2] != "" {
			list, ok := v.([]any)
			i, err := strconv.Atoi(m[2])
			if !ok || err != nil || i >= len(list) {
				return false
			}
			v = list[i]
			continue
		}
		key := m[1]
		if m[3] != "" {
			key, _ = strconv.Unquote(m[3])
		}
		object, ok := v.(map[string]any)
		if !ok {
			return false
		}
		if v, ok = object[key]; !ok {
			return false
		}
	}
	return true
}

// checkPurity: compiling twice gives the same bytes and leaves the input as it was.
func checkPurity(t *testing.T, c goldenCase) {
	t.Helper()
	before, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var first []byte
	for range 8 { // Go's map order is random
		p, warnings, err := c.compile()
		if err != nil {
			t.Fatal(err)
		}
		wire, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		wire = append(wire, goldenText(p, warnings)...)
		if first == nil {
			first = wire
		}
		if !bytes.Equal(first, wire) {
			t.Fatal("compiling the same input again gives another plan")
		}
	}
	after, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Errorf("compiling changed its input:\nbefore %s\n after %s", before, after)
	}
}
