//go:build !embed_stage

package nsexec

import (
	"fmt"
	"os"
	"path/filepath"
)

// loadStage reads the C stage from the directory of the running binary: a plain `go build` has none embedded.
func loadStage() ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("locating the stage: %w", err)
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(self), "zbox-nsexec"))
	if err != nil {
		return nil, fmt.Errorf("reading the stage (build with `make build` to embed it): %w", err)
	}
	return b, nil
}
