//go:build engines

package engines

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"
)

// Storm kills what watches containers, each at a random moment.
type Storm struct {
	Start   func(name string) *exec.Cmd // prepares a call of the engine that runs a container
	Victims func(name string) []int     // the processes to kill; none yet, or not any more, is no error
	Within  time.Duration               // they are killed within that time since the first of them was seen
	CleanUp func(name string)           // does what a user would, and looks for what is left
}

// Run runs that many containers, one behind the other. How the call of the engine ends is the engine's affair, but end it must.
func (s Storm) Run(t *testing.T, rounds int) {
	t.Helper()
	killed := 0
	for i := range rounds {
		name := fmt.Sprintf("k%d", i)
		cmd := s.Start(name)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		over := Over(cmd)
		Eventually(t, name+" is watched", func() bool { return len(s.Victims(name)) > 0 || over(0) })
		delay := rand.N(s.Within) // the moment is what is random
		time.Sleep(delay)
		for _, pid := range s.Victims(name) {
			Kill(t, pid)
			killed++
		}
		if !over(time.Minute) {
			t.Errorf("the call that runs %s does not end", name)
		}
		s.CleanUp(name)
		if t.Failed() {
			t.Fatalf("in round %d, killed after %v", i, delay)
		}
	}
	t.Logf("%d processes were there to be killed", killed)
}
