//go:build engines

package podman

import (
	"os"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

const containerfile = `FROM localhost/img
RUN echo built >/b && id -u >/id
USER 1000
WORKDIR /tmp
RUN pwd >/tmp/where && id -u >>/tmp/where
CMD cat /b /id /tmp/where
`

// The steps go through the runtime, which the recorder proves.
func TestBuild(t *testing.T) {
	forEachUser(t, func(e *engine) {
		created := record(e.t)
		e.must("--runtime", engines.Recorder, "build", "--isolation", "oci", "--network", "none", "-t", "built", engines.Dir+"/tmp/context")
		e.run(engines.Case{Args: `built`, Stdout: "built\n0\n/tmp\n1000"})
		if n := created(); n != 2 {
			e.t.Errorf("the runtime was called to create %d containers, want 2", n)
		}
		e.must("rmi", "built")
	})
}

func TestBuildSaysWhichStepFailed(t *testing.T) {
	e := asRoot(t)
	dir := e.dir("x")
	if err := os.WriteFile(dir+"/Containerfile", []byte("FROM localhost/img\nRUN exit 9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if res := engines.Run(t, e.podman("build", "--network", "none", dir)); res.Code != 9 || !strings.Contains(res.Stderr, "exit status 9") {
		t.Errorf("exit %d: %s", res.Code, res.Stderr)
	}
}
