package libzbox

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestStateDirectoryThatOthersMayWriteToIsRefused(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	r, err := New(Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.makeRoot(); err != nil {
		t.Fatalf("a new directory: %v", err)
	}
	if err := r.makeRoot(); err != nil {
		t.Fatalf("the directory that zbox made: %v", err)
	}
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("--root: others may write to %s (mode 0777): `chmod go-w` it, or choose another directory", root)
	if err := r.makeRoot(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
