//go:build engines

package engines

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"
)

// Storm kills what watches containers, each at a random moment of its life.
type Storm struct {
	Start   func(name string) *exec.Cmd // prepares a call of the engine that runs a short container
	Victims func(name string) []int     // the processes to kill
	CleanUp func(name string)           // does what a user would, and looks for what is left
}

// Run runs containers, one behind the other, until that many have lost what watches them. How the call of the engine ends is the
// engine's affair, but end it must.
func (s Storm) Run(t *testing.T, kills int) {
	t.Helper()
	var life time.Duration
	s.round(t, "calm", func() {
		began := time.Now()
		// Twice: a process that makes another and ends can be gone from a list that does not have the other yet.
		none := 0
		Eventually(t, "what watches has ended", func() bool {
			if none++; len(s.Victims("calm")) > 0 {
				none = 0
			}
			return none == 2
		})
		life = time.Since(began)
	})
	rounds, killed := 0, 0
	for ; killed < kills; rounds++ {
		name := fmt.Sprintf("k%d", rounds)
		delay := rand.N(life) // the moment is what is random
		s.round(t, name, func() {
			time.Sleep(delay)
			victims := s.Victims(name)
			for _, pid := range victims {
				Kill(t, pid)
			}
			// The span of the moments follows what is seen: a busy machine may make the calm round a long one.
			if len(victims) > 0 {
				killed++
				life += life / 20
			} else {
				life = (life + delay) / 2
			}
		})
		if t.Failed() || rounds > 10*kills {
			t.Fatalf("in round %d, after %v of %v, with %d of %d killed", rounds, delay, life, killed, kills)
		}
	}
	t.Logf("%d rounds, within %v", rounds, life)
}

// round runs one container, and does something as soon as it is watched.
func (s Storm) round(t *testing.T, name string, then func()) {
	t.Helper()
	cmd := s.Start(name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := Over(cmd)
	Eventually(t, name+" is watched", func() bool { return len(s.Victims(name)) > 0 || over(0) })
	then()
	if !over(Patience) {
		t.Errorf("the call that runs %s does not end", name)
	}
	s.CleanUp(name)
}
