package security

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/tests/integration"
)

// onTerminal makes the process a shell script that has a terminal.
func onTerminal(script string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Process.Terminal = true
		integration.Shell(script + "; echo the end")(s)
	}
}

// withTerminal runs a bundle of onTerminal and returns what create left and all that the terminal printed.
func withTerminal(t *testing.T, r *integration.Runtime, b *integration.Bundle) (integration.Result, string) {
	t.Helper()
	socket, receive := integration.ConsoleSocket(t)
	id := r.ID("tty")
	b.PlaceCgroup(id)
	res := r.Do("create", "--bundle", b.Dir, "--console-socket", socket, id)
	if res.Code != 0 {
		return res, ""
	}
	terminal := receive()
	r.Must("start", id)
	terminal.Expect("the end")
	return res, terminal.Text()
}
