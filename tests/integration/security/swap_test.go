package security

import (
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/tests/integration"
)

const (
	raceRounds   = 200
	raceTime     = 9 * time.Second
	longestPause = 15 * time.Millisecond
	raceFloor    = 40 // rounds that a race is played whatever time it takes
)

// swapper exchanges two names as another container with the same volume would: as fast as it can, or in bursts between
// which everything looks right, which gets further into a runtime that looks twice.
type swapper struct {
	t       *testing.T
	a, b    string
	stop    atomic.Bool
	bursts  atomic.Bool
	swaps   atomic.Int64
	stopped chan error
}

// swap starts exchanging the names a and b; Stop leaves them as they were.
func swap(t *testing.T, a, b string) *swapper {
	t.Helper()
	s := &swapper{t: t, a: a, b: b, stopped: make(chan error)}
	go func() {
		for !s.stop.Load() {
			pairs := 100
			if s.bursts.Load() {
				time.Sleep(time.Duration(rand.Int64N(int64(longestPause))))
				pairs = 1 + rand.IntN(20)
			}
			if err := s.exchange(2 * pairs); err != nil {
				s.stopped <- err
				return
			}
		}
		s.stopped <- nil
	}()
	return s
}

func (s *swapper) exchange(times int) error {
	for range times {
		if err := unix.Renameat2(unix.AT_FDCWD, s.a, unix.AT_FDCWD, s.b, unix.RENAME_EXCHANGE); err != nil {
			return err
		}
		s.swaps.Add(1)
	}
	return nil
}

func (s *swapper) Stop() {
	s.t.Helper()
	s.stop.Store(true)
	if err := <-s.stopped; err != nil {
		s.t.Fatalf("exchanging %s and %s: %v", s.a, s.b, err)
	}
	if !s.t.Failed() && s.swaps.Load() < 1000 {
		s.t.Errorf("only %d swaps: the race was not played", s.swaps.Load())
	}
}

// race runs the bundle many times against a swapper of a and b, and calls ran for every run. A runtime may refuse what it
// finds half-way, but some rounds have to run.
func race(t *testing.T, r *integration.Runtime, b *integration.Bundle, one, other string, ran func(integration.Result)) {
	t.Helper()
	raceRenewed(t, r, b, one, other, func(int) {}, ran)
}

// raceRenewed is race with a change of the bundle before every round.
func raceRenewed(t *testing.T, r *integration.Runtime, b *integration.Bundle, one, other string, renew func(round int), ran func(integration.Result)) {
	t.Helper()
	id := r.ID("race")
	b.Change(func(s *specs.Spec) { s.Linux.CgroupsPath = "/" + id })
	s := swap(t, one, other)
	rounds, successes, refusal := 0, 0, ""
	for begun := time.Now(); !t.Failed() && (rounds < raceFloor || (rounds < raceRounds && time.Since(begun) < raceTime)); rounds++ {
		renew(rounds)
		s.bursts.Store(rounds%4 != 0)
		res := r.Do("run", "--bundle", b.Dir, id)
		if res.Code == 0 {
			successes++
			ran(res)
			continue
		}
		refusal = res.Stderr
		if forced := r.Do("delete", "--force", id); forced.Code != 0 {
			t.Errorf("delete --force: exit %d: %s", forced.Code, forced.Stderr)
		}
	}
	s.Stop()
	t.Logf("%d rounds, %d ran, %d swaps; a refusal: %s", rounds, successes, s.swaps.Load(), refusal)
	if successes == 0 {
		t.Errorf("no container of the race ran; the last message is %q", refusal)
	}
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}
