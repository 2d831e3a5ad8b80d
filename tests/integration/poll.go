package integration

import (
	"testing"
	"time"
)

// patience is far beyond what a slow and busy machine needs: a test that waits this long has failed.
const patience = 2 * time.Minute

// Eventually polls until the condition holds and fails the test when it never does.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
