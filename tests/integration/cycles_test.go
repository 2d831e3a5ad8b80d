package integration

import (
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"testing"
)

// The leak check at the end of the test is half of what it asserts.
func TestThousandCyclesEightAtATimeLeaveNothing(t *testing.T) {
	const workers, cycles = 8, 125
	r := New(t)
	var bundles []*Bundle
	for worker := range workers {
		b := NewBundle(t, Args("/bin/true"))
		b.PlaceCgroup(fmt.Sprintf("%s-w%d", r.Marker, worker))
		bundles = append(bundles, b)
	}
	// Not before the bundles are made: it would reap the programs that make them.
	stop := keepReaping()
	defer stop()
	var group sync.WaitGroup
	for worker, b := range bundles {
		group.Go(func() {
			for cycle := range cycles {
				id := fmt.Sprintf("%s-w%d-%d", r.Marker, worker, cycle)
				for _, args := range [][]string{{"create", "--bundle", b.Dir, id}, {"start", id}, {"delete", "--force", id}} {
					// No pipes: the container would hold them open.
					if err := r.Command(args...).Run(); err != nil {
						t.Errorf("%v: %s", args, explain(err))
						return
					}
				}
			}
		})
	}
	group.Wait()
}

func explain(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Sprintf("exit %d", exit.ExitCode())
	}
	return err.Error()
}
