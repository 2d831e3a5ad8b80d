//go:build engines

package containerd

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// writeImage writes the image of busybox as containerd imports it: a "docker save" archive (containerd/images/archive, docker.v1.2).
func writeImage(path string) error {
	const rootfs = dir + "/rootfs.tar"
	if err := engines.Image(rootfs); err != nil {
		return err
	}
	layer, err := os.ReadFile(rootfs)
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Env": []string{"PATH=/bin"}, "Cmd": []string{"sleep", "1000"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]any{map[string]any{"Config": "config.json", "RepoTags": []string{Image}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := tar.NewWriter(f)
	for _, part := range []struct {
		name    string
		content []byte
	}{{"config.json", config}, {"layer.tar", layer}, {"manifest.json", manifest}} {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: part.name, Mode: 0o644, Size: int64(len(part.content))}))
		_, werr := w.Write(part.content)
		err = errors.Join(err, werr)
	}
	return errors.Join(err, w.Close(), f.Close())
}
