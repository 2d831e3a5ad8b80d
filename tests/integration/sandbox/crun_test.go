package sandbox

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

// docs/sandbox.md says which bundles Debian's crun runs. It needs CAP_SYS_RESOURCE, which root has on that machine.
func TestBundleWithoutLayersRunsOnCrun(t *testing.T) {
	integration.NeedsSystemd(t)
	r := integration.New(t)
	dir := integration.PublicDir(t)
	for _, test := range []struct {
		name     string
		readonly bool
		says     string
	}{
		{"without", true, "box\n0\n"},
		{"with", false, "mount `overlay` to ``: Invalid argument\n"},
	} {
		bundle := filepath.Join(dir, test.name)
		b := newBox(t, r).with("readonly_root", test.readonly).with("hostname", "box")
		r.Must("spec", "-c", b.write(t), "-b", bundle, "--", "sh", "-c", "cat /etc/hostname; id -u")
		out, _ := exec.Command("crun", "--root", filepath.Join(dir, "state"), "run", "-b", bundle, r.Marker+"-"+test.name).CombinedOutput()
		if !strings.HasSuffix(string(out), test.says) {
			t.Errorf("%s layers: %q, want %q", test.name, out, test.says)
		}
	}
}
