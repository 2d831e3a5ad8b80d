package libzbox

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manager is a service manager's socket.
func manager(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func say(t *testing.T, path, message string) {
	t.Helper()
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
}

func TestNobodyAskedForNotification(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	r, _ := newRuntime(t)
	n := newNotifySocket(r, "web")
	if n != nil || n.listen() != nil || n.forward(nil) != nil {
		t.Errorf("got %+v", n)
	}
}

func TestReadinessIsPassedOnWithTheMainPid(t *testing.T) {
	for _, tt := range []struct {
		name, socket string
		messages     []string
	}{
		{"a path", filepath.Join(t.TempDir(), "notify"), []string{"READY=1"}},
		{"an abstract socket", "@zbox-test-" + strconv.Itoa(os.Getpid()) + t.Name(), []string{"READY=1\n"}},
		{"among other lines", filepath.Join(t.TempDir(), "notify"), []string{"STATUS=starting", "STATUS=READY=1\nMAINPID=1", "STATUS=ready\nREADY=1\nMAINPID=1\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := manager(t, tt.socket)
			t.Setenv("NOTIFY_SOCKET", tt.socket)
			r, warnings := newRuntime(t)
			c := newContainer(t, r, "web", phaseStarted)
			c.j.Init = living(t)
			if err := newNotifySocket(r, "web").listen(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(c.dir, notifyDir, notifyName)
			if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o777 {
				t.Errorf("socket: %v, %v, want 0777", st.Mode(), err)
			}
			n := existingNotifySocket(c)
			if n == nil {
				t.Fatal("no socket", *warnings)
			}
			for _, m := range tt.messages {
				say(t, path, m)
			}
			if err := n.forward(c); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 256)
			count, err := host.Read(buf)
			if want := "READY=1\nMAINPID=" + strconv.Itoa(c.j.Init.Pid) + "\n"; err != nil || string(buf[:count]) != want {
				t.Errorf("got %q, %v, want %q", buf[:count], err, want)
			}
		})
	}
}

func TestNotificationEndsWithTheContainer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager(t, path)
	t.Setenv("NOTIFY_SOCKET", path)
	r, _ := newRuntime(t)
	c := newContainer(t, r, "web", phaseStarted)
	c.j.Init = living(t)
	if err := newNotifySocket(r, "web").listen(); err != nil {
		t.Fatal(err)
	}
	n := existingNotifySocket(c)
	time.AfterFunc(20*time.Millisecond, func() { _ = c.j.Init.signal(unix.SIGKILL) })
	if err := n.forward(c); err != nil {
		t.Error(err)
	}
}
