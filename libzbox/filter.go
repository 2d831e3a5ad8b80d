package libzbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/compile"
	"github.com/bxrne/zbox/spec/oneshot"
)

// filterCache is the directory of compiled seccomp filters below the root; no container id starts with a dot.
const filterCache = ".seccomp"

// filter returns the compiled seccomp filter of a configuration: from the cache by the profile's content, or freshly compiled.
// The cache only saves time, so its own errors are passed over.
func (r *Runtime) filter(s *specs.Spec) ([]byte, error) {
	if s.Linux == nil || s.Linux.Seccomp == nil {
		return nil, nil
	}
	key, err := filterKey(s.Linux.Seccomp)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(r.opts.Root, filterCache, key)
	if filter, ok := readCachedFilter(path); ok {
		return filter, nil
	}
	filter, err := compile.Filter(s.Linux.Seccomp)
	if err != nil {
		return nil, fmt.Errorf("%s: linux.seccomp: %w", configFile, err)
	}
	if r.makeRoot() == nil {
		cacheFilter(path, filter)
	}
	return filter, nil
}

// filterKey hashes the profile together with what compiles it.
func filterKey(profile *specs.LinuxSeccomp) (string, error) {
	data, err := oneshot.Marshal(profile)
	if err != nil {
		return "", fmt.Errorf("encoding the seccomp profile: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "zbox filter 1 %s\n", compile.FilterCompiler())
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// readCachedFilter reads a cache entry: the hash of the filter, then the filter. One that is damaged, or that another user could
// have written, is as good as none.
func readCachedFilter(path string) ([]byte, bool) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o022 != 0 || int(st.Uid) != os.Geteuid() {
		return nil, false
	}
	const maxEntry = sha256.Size + 8*4096*16
	if st.Size <= sha256.Size || st.Size > maxEntry {
		return nil, false
	}
	data := make([]byte, st.Size)
	if n, err := unix.Read(fd, data); err != nil || n != len(data) {
		return nil, false
	}
	sum := sha256.Sum256(data[sha256.Size:])
	if !bytes.Equal(sum[:], data[:sha256.Size]) {
		return nil, false
	}
	return data[sha256.Size:], true
}

// cacheFilter stores a filter in one step.
func cacheFilter(path string, filter []byte) {
	dir := filepath.Dir(path)
	if err := unix.Mkdir(dir, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return
	}
	sum := sha256.Sum256(filter)
	_ = publish(path, 0o600, append(sum[:], filter...))
}

// KnownSystemCall reports whether there is a system call of that name on any architecture, as far as libseccomp knows.
func KnownSystemCall(name string) bool { return compile.KnownSystemCall(name) }
