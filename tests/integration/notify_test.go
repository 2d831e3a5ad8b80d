package integration

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// withNotify is a command whose caller is a service manager that listens at path (sd_notify(3)).
func withNotify(cmd *exec.Cmd, path string) *exec.Cmd {
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+path)
	return cmd
}

func TestReadinessReachesTheServiceManager(t *testing.T) {
	r := New(t)
	path := filepath.Join(t.TempDir(), "manager")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	b := NewBundle(t, Shell(`test -S "$NOTIFY_SOCKET" && echo "$NOTIFY_SOCKET" > /tmp/socket; exec sleep 1000`))
	id, pidFile := r.ID("ready"), filepath.Join(t.TempDir(), "pid")
	b.PlaceCgroup(id)
	if res := r.DoCommand(withNotify(r.Command("create", "--bundle", b.Dir, "--pid-file", pidFile, id), path)); res.Code != 0 {
		t.Fatalf("create: %s", res.Stderr)
	}
	pid := r.read(pidFile)
	started := make(chan Result, 1)
	go func() {
		out, err := withNotify(r.Command("start", id), path).CombinedOutput()
		res := Result{Stderr: string(out)}
		if err != nil {
			res.Code = 1
		}
		started <- res
	}()
	Eventually(t, "the container sees its socket", func() bool {
		text, _ := os.ReadFile(b.Rootfs("tmp", "socket"))
		return strings.HasSuffix(string(text), "\n")
	})
	inside := strings.TrimSpace(r.read(b.Rootfs("tmp", "socket")))
	if inside == path {
		t.Errorf("the container got the caller's own socket")
	}
	// The container's own view of the socket.
	conn, err := net.Dial("unixgram", filepath.Join("/proc", pid, "root", inside))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	messages := []string{"READY=1\n"}
	if IsZbox() { // runc looks at the first message only
		messages = []string{"STATUS=warming up", "STATUS=ready\nREADY=1\n"}
	}
	for _, message := range messages {
		if _, err := conn.Write([]byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	if err := manager.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for !strings.Contains(strings.Join(got, ""), "READY=1\n") || !strings.Contains(strings.Join(got, ""), "MAINPID=") {
		buf := make([]byte, 4096)
		n, err := manager.Read(buf)
		if err != nil {
			t.Fatalf("the manager got %q and then %v", got, err)
		}
		got = append(got, string(buf[:n])+"\n")
	}
	if want := "MAINPID=" + pid; !strings.Contains(strings.Join(got, ""), want+"\n") {
		t.Errorf("the manager got %q, which lacks %s", got, want)
	}
	select {
	case res := <-started:
		if res.Code != 0 || res.Stderr != "" {
			t.Errorf("start: exit %d: %s", res.Code, res.Stderr)
		}
	case <-time.After(patience):
		t.Error("start does not return once the container is ready")
	}
	number, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	(&Container{Runtime: r, ID: id, Pid: number}).Kill()
}
