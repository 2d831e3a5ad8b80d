package sandbox

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

// Sandboxes with the same files share what they start from. Nothing of one is seen by another, before, beside or behind it.
func TestSandboxesThatShareAStartSeeNothingOfEachOther(t *testing.T) {
	r := integration.New(t)
	config := newBox(t, r).write(t)
	look := "cat /etc/passwd /etc/hosts; ls -lR /bin /etc; ls -lu /etc; stat -c '%n %a %u %x %y %z' /etc/* /bin/* /etc /bin"
	before := r.Must("-c", config, "--", "sh", "-c", look)
	if roots, err := os.ReadDir(filepath.Join(r.Root, ".roots")); err != nil || len(roots) != 1 {
		t.Fatalf("nothing is shared: %v, %v", roots, err)
	}
	beside := startServer(t, r.Command("-c", config, "--", "sh", "-c", `set -e
		echo evil > /etc/passwd; echo 6.6.6.6 localhost >> /etc/hosts; chmod 777 /etc /bin; touch /etc/new /bin/new
		rm /bin/ls; ln -s /proc/1/mem /bin/ls; mv /bin/cat /bin/dog; touch -d 2001-01-01 /etc/hostname
		cat /etc/resolv.conf > /dev/null; echo ready; read end || exit 0`))
	if got := r.Must("-c", config, "--", "sh", "-c", look); got != before {
		t.Errorf("beside one that changes all:\n%s\nbefore:\n%s", got, before)
	}
	beside()
	if got := r.Must("-c", config, "--", "sh", "-c", look); got != before {
		t.Errorf("behind one that has changed all:\n%s\nbefore:\n%s", got, before)
	}
	if roots, err := os.ReadDir(filepath.Join(r.Root, ".roots")); err != nil || len(roots) != 1 {
		t.Errorf("not all shared one start, so this proves nothing: %v, %v", roots, err)
	}
}
