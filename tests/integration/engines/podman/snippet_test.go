//go:build engines

package podman

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// withSnippet runs a command where /etc/containers has the snippet alone, and /usr/local/bin the runtime.
const withSnippet = `mkdir -p $1/etc/containers.conf.d && cp $2 $1/etc/containers.conf.d/zbox.conf && mount --bind $1/etc /etc/containers
	mount -t tmpfs bin /usr/local/bin && cp $3 /usr/local/bin/zbox && shift 3 && exec "$@"`

// Nothing else configures podman here; the flags are what the tests' machine needs.
func TestDocumentedSnippetIsAllThatPodmanNeeds(t *testing.T) {
	if !engines.IsZbox() {
		t.Skip("zbox's snippet")
	}
	docs := os.Getenv("DOCS")
	if docs == "" {
		_, file, _, _ := runtime.Caller(0)
		docs = filepath.Join(filepath.Dir(file), "../../../../docs")
	}
	snippet := filepath.Join(docs, "zbox-containers.conf") // which `make install` copies
	text, err := os.ReadFile(snippet)
	if err != nil {
		t.Fatal(err)
	}
	if page, err := os.ReadFile(filepath.Join(docs, "podman.md")); err != nil || !strings.Contains(string(page), "```toml\n"+string(text)+"```") {
		t.Errorf("docs/podman.md does not show %s: %v", snippet, err)
	}
	e := asRoot(t)
	dir := t.TempDir()
	podman := func(args ...string) *exec.Cmd {
		like := e.podman()
		words := append([]string{
			"-m", "--propagation", "private", "sh", "-ec", withSnippet, "sh", dir, snippet, engines.Runtime(),
			"podman", "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "zbox",
		}, args...)
		cmd := exec.Command("unshare", words...)
		cmd.Dir = like.Dir
		for _, variable := range like.Env {
			if !strings.HasPrefix(variable, "CONTAINERS_CONF=") {
				cmd.Env = append(cmd.Env, variable)
			}
		}
		return cmd
	}
	run := "run --rm --network none --log-driver k8s-file --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 "
	for _, c := range []engines.Case{
		{Args: `info --format '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}'`, Stdout: "zbox /usr/local/bin/zbox"},
		{Args: run + `img echo hello`, Stdout: "hello"},
		{Args: run + `img nosuch`, Code: 127, Stderr: "executable file not found in $PATH"},
		{Args: run + `img /etc/passwd`, Code: 126, Stderr: "permission denied"},
		{Args: run + `--cgroups disabled img echo hello`, Stdout: "hello"},
	} {
		c.CheckAs(t, podman)
	}
}

func TestInstallPutsTheSnippetWherePodmanReadsIt(t *testing.T) {
	if os.Getenv("DOCS") != "" {
		t.Skip("needs the repository, which is not in the virtual machine")
	}
	_, file, _, _ := runtime.Caller(0)
	repository := filepath.Join(filepath.Dir(file), "../../../..")
	want, err := os.ReadFile(filepath.Join(repository, "docs/zbox-containers.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, there := range []bool{true, false} {
		dest := t.TempDir()
		drop := filepath.Join(dest, "etc/containers/containers.conf.d")
		if there {
			if err := os.MkdirAll(drop, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		// The programs are built already.
		if res := engines.Call(t, "make", "-C", repository, "-o", "build", "install", "DESTDIR="+dest); res.Code != 0 {
			t.Fatalf("make install: exit %d: %s%s", res.Code, res.Stdout, res.Stderr)
		}
		if got, err := os.ReadFile(drop + "/zbox.conf"); (err == nil) != there || there && string(got) != string(want) {
			t.Errorf("with the directory %v: %q, %v", there, got, err)
		}
		if _, err := os.Stat(filepath.Join(dest, "etc")); (err == nil) != there {
			t.Errorf("with the directory %v: /etc: %v", there, err)
		}
	}
}
