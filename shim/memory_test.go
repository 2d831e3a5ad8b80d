package shim

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestCleanMappings(t *testing.T) {
	smaps := filepath.Join(t.TempDir(), "smaps")
	text := `00401000-00403000 r-xp 00001000 fe:00 1234   /usr/bin/shim
Rss:                   8 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00969000-0096a000 r--p 00569000 fe:00 1234   /usr/bin/shim
Anonymous:             0 kB
00f89000-00f8e000 r--p 00b88000 fe:00 1234   /usr/bin/shim
Anonymous:             8 kB
00f8e000-00fd6000 rw-p 00b8d000 fe:00 1234   /usr/bin/shim
Anonymous:             0 kB
00fd6000-03015000 r--p 00000000 00:00 0
Anonymous:             0 kB
7f8f9735d000-7f8f9735f000 r-xp 00000000 00:00 0   [vdso]
Anonymous:             0 kB
`
	if err := os.WriteFile(smaps, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := cleanMappings(smaps)
	if want := []mapping{{0x401000, 0x2000}, {0x969000, 0x1000}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%x, %v; want %x", got, err, want)
	}
}
