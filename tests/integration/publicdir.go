package integration

import (
	"os"
	"testing"
)

// PublicDir is a directory that every user can look into, as they cannot into t.TempDir, until the end of the test. Its path is short enough
// for sockets in it.
func PublicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "zbox-public-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
