package compile

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/plan"
)

// execStep compiles r and returns the last step.
func execStep(t *testing.T, r Request) *plan.Exec {
	t.Helper()
	p, _, err := Create(r)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := p.Steps[len(p.Steps)-1].(*plan.Exec)
	if !ok {
		t.Fatalf("the last step is %s, want exec", p.Steps[len(p.Steps)-1].Name())
	}
	return s
}

// FuzzCompile: any configuration that is JSON either is refused or gives a plan that can be encoded, the same one every time.
func FuzzCompile(f *testing.F) {
	configs, err := filepath.Glob("testdata/plans/*/config.json")
	if err != nil || len(configs) == 0 {
		f.Fatalf("testdata/plans is empty: %v", err)
	}
	for i, file := range configs {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, byte(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, bits byte) {
		var spec specs.Spec
		if json.Unmarshal(data, &spec) != nil {
			return
		}
		r := fuzzRequest(&spec, bits)
		p, _, err := Create(r)
		if err == nil {
			checkEncodes(t, p)
			again, _, err := Create(r)
			if err != nil || again.String() != p.String() {
				t.Errorf("compiling again gives another plan (%v)", err)
			}
		}
		e := ExecRequest{ID: r.ID, Spec: &spec, Process: spec.Process, Facts: r.Facts, InitPid: 1, OwnUserns: bits&1 != 0}
		if p, _, err := Exec(e); err == nil {
			checkEncodes(t, p)
		}
	})
}

// fuzzRequest: every bit is one fact or option.
func fuzzRequest(spec *specs.Spec, bits byte) Request {
	r := Request{ID: "box", Bundle: "/bundle", Facts: baseFacts(), Spec: spec}
	has := func(n int) bool { return bits&(1<<n) != 0 }
	if has(0) {
		r.Facts.EUID = 1000
	}
	r.Facts.Cgroup.Unified = !has(1)
	r.Facts.AppArmor, r.Facts.SELinux = has(2), has(2)
	r.CloneIntoCgroup, r.WaitStart, r.NoPivot = has(3), has(4), has(5)
	if has(6) {
		r.CgroupPath = "/box"
	}
	if has(7) {
		r.NotifySocket, r.NotifyDir, r.ListenFDs = "/in/s", "/out", 1
	}
	return r
}

// checkEncodes: only a NUL in a string keeps a plan from being encoded; the spec package refuses those.
func checkEncodes(t *testing.T, p *plan.Plan) {
	t.Helper()
	if _, err := p.Encode(); err != nil && !bytes.HasSuffix([]byte(err.Error()), []byte("string holds a NUL byte")) {
		t.Errorf("encoding: %v", err)
	}
	if len(p.Origins) != len(p.Steps) {
		t.Errorf("%d origins for %d steps", len(p.Origins), len(p.Steps))
	}
}
