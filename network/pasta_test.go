package network

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A pasta that may not do its work says what was denied, and zbox what an administrator can do about it.
func TestDeniedPastaComesWithARemedy(t *testing.T) {
	for name, test := range map[string]struct {
		says   string
		remedy bool
	}{
		"denied":       {"Couldn't open user namespace /proc/self/fd/0: Permission denied", true},
		"other reason": {"Failed to bind port 80", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			program := filepath.Join(dir, "pasta")
			if err := os.WriteFile(program, []byte("#!/bin/sh\necho \""+test.says+"\" >&2\nexit 1\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			profile := filepath.Join(dir, "profile")
			if err := os.WriteFile(profile, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			defer func(old string) { pastaProfile = old }(pastaProfile)
			pastaProfile = profile
			err := startPasta(program, Config{ID: "x", StateDir: dir, Pid: os.Getpid()}, subnet{netip.MustParsePrefix("10.0.2.0/24")})
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("error %v, want one that says %q", err, test.says)
			}
			if got := strings.Contains(err.Error(), "apparmor_parser -R "+profile); got != test.remedy {
				t.Errorf("error %v: has a remedy: %v, want %v", err, got, test.remedy)
			}
		})
	}
}
