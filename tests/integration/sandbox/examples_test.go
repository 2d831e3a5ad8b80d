package sandbox

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every command of the examples in docs/sandbox.md is run as it is printed there.
func TestExamplesRunAsPrinted(t *testing.T) {
	w := newWorld(t) // two of them have ports and networks
	newBox(t, w.Runtime)
	top, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(top, "docs/sandbox.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- examples:")
	section, _, ok := strings.Cut(rest, "<!-- /examples -->")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1)
	if !ok || len(blocks) != 3 {
		t.Fatalf("%d examples", len(blocks))
	}
	t.Cleanup(func() {
		for _, name := range []string{"agent-work", "agent-root", "agent-result.json", "build-root", "web-www", "web-root"} {
			os.RemoveAll("/tmp/zbox-" + name)
		}
	})
	for i, want := range []string{"done\n", "built\n", "hello\n"} {
		script := "set -e; cd " + top + "; zbox() { " + w.Path + " --root " + w.Root + " \"$@\"; }\n" + blocks[i][1]
		cmd := w.host.command("bash", "-c", script)
		if res := w.DoCommand(cmd); res.Code != 0 || res.Stdout != want || res.Stderr != "" {
			t.Errorf("%s: exit code %d, %q, %q", blocks[i][1], res.Code, res.Stdout, res.Stderr)
		}
	}
	if o := readOutcome(t, "/tmp/zbox-agent-result.json"); o.Reason == "" || !strings.HasPrefix(o.ID, "agent-") {
		t.Errorf("outcome %+v", o)
	}
}
