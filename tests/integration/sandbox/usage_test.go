package sandbox

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

// Every shell command of docs/sandbox.md is run as it is printed there, in a directory that has the examples, and for root.
func TestUsageRunsAsPrinted(t *testing.T) {
	w := newWorld(t) // some have ports and networks
	newBox(t, w.Runtime)
	top, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(top, "docs/sandbox.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := integration.PublicDir(t)
	if err := os.Symlink(filepath.Join(top, "examples"), filepath.Join(dir, "examples")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, name := range []string{"agent-work", "agent-root", "agent-result.json", "build-root", "web-www", "web-root"} {
			os.RemoveAll("/tmp/zbox-" + name)
		}
	})
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	wants := []string{
		"hello from zbox-sandbox\n",
		"hello\nagent\nsecond\n",
		"hello\n",
		"done\n",
		"built\n",
		"hello\n",
	}
	if len(blocks) != len(wants) {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	for i, want := range wants {
		script := "set -e; cd " + dir + "; sudo() { \"$@\"; }; zbox() { " + w.Path + " --root " + w.Root + " \"$@\"; }\n" + blocks[i][1]
		res := w.DoCommand(w.host.command("bash", "-c", script))
		if res.Code != 0 || res.Stdout != want || res.Stderr != "" {
			t.Errorf("%s: exit code %d, %q, %q", blocks[i][1], res.Code, res.Stdout, res.Stderr)
		}
	}
	if o := readOutcome(t, "/tmp/zbox-agent-result.json"); o.Reason != "exit" || !strings.HasPrefix(o.ID, "agent-") {
		t.Errorf("outcome %+v", o)
	}
	for _, made := range []string{"DIR/config.json", "sandbox.json", "sandbox.schema.json"} {
		if info, err := os.Stat(filepath.Join(dir, made)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", made, err)
		}
	}
}

// And those of the README, whose bin/zbox is the one under test.
func TestUsageOfTheREADMERunsAsPrinted(t *testing.T) {
	w := newWorld(t)
	newBox(t, w.Runtime)
	top, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)## As a sandbox\n\n```\n(.*?)```").FindStringSubmatch(string(text))
	if block == nil {
		t.Fatal("there is no block of commands")
	}
	dir := integration.PublicDir(t)
	if err := os.Symlink(filepath.Join(top, "examples"), filepath.Join(dir, "examples")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	wrapper := "#!/bin/sh\nexec " + w.Path + " --root " + w.Root + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "bin/zbox"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	script := "set -e; cd " + dir + "\n" + block[1] + "bin/zbox exec box cat /etc/hostname; bin/zbox delete --force box\n"
	res := w.DoCommand(w.host.command("bash", "-c", script))
	if res.Code != 0 || !strings.HasSuffix(res.Stdout, " tmp\nbusybox\n") || res.Stderr != "" {
		t.Errorf("exit code %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
}
