//go:build engines

package podman

import (
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

func TestTerminal(t *testing.T) {
	forEachUser(t, func(e *engine) {
		e.must("run", "-d", "--name", "life", "--network", "none", "img", "sleep", "1000")
		for _, args := range []string{"run --rm -it --network none img sh", "exec -it life sh"} {
			engines.UseShell(e.t, e.podman(engines.Words(args)...))
		}
	})
}

func TestDetachedTerminalIsAttachedTo(t *testing.T) {
	forEachUser(t, func(e *engine) {
		e.must("run", "-dit", "--name", "shell", "--network", "none", "img", "sh")
		cmd := e.podman("attach", "--detach-keys", "ctrl-x", "shell")
		term := engines.OnTerminal(e.t, cmd)
		term.Send("echo here-$((40+2))\n")
		term.Expect("here-42")
		term.Send("\x18") // ctrl-x
		if err := cmd.Wait(); err != nil {
			e.t.Errorf("detaching: %v: %q", err, term.Text())
		}
		e.check(engines.Case{Args: `inspect --format {{.State.Status}} shell`, Stdout: "running"})
	})
}
