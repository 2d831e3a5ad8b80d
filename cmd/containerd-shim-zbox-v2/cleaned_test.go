package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"google.golang.org/protobuf/proto"
)

// The test binary is linked with the constructors too: called as the shim, it answers before Go begins, or runs the test with this
// environment.
const goBegan = "GO_BEGAN"

func TestMain(m *testing.M) {
	if os.Getenv(goBegan) != "" {
		os.Exit(7)
	}
	os.Exit(m.Run())
}

// remove runs the command delete and reports whether it was answered before Go began.
func remove(t *testing.T, bundle, id string) (out []byte, early bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-namespace", "test", "-id", id, "-bundle", bundle, "delete")
	cmd.Env = append(os.Environ(), goBegan+"=1")
	out, _ = cmd.Output() // its exit code is looked at
	return out, cmd.ProcessState.ExitCode() == 0
}

func TestDeleteBehindADeletedContainer(t *testing.T) {
	bundle := filepath.Join(t.TempDir(), "box")
	socket := filepath.Join(t.TempDir(), "socket")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	write(bundle+"/address", "unix://"+socket)
	out, early := remove(t, bundle, "box")
	var res taskapi.DeleteResponse
	if err := proto.Unmarshal(out, &res); !early || err != nil || res.ExitStatus != 137 || time.Since(res.ExitedAt.AsTime()).Abs() > time.Minute {
		t.Errorf("answered early: %v, %v, %v", early, err, &res)
	}
	for _, c := range []struct {
		what   string
		id     string
		create []string
	}{
		{"the bundle of another container", "other", nil},
		{"options of a container", "box", []string{bundle + "/zbox-options.json"}},
		{"a socket", "box", []string{socket}},
	} {
		for _, name := range c.create {
			write(name, "")
		}
		if _, early := remove(t, bundle, c.id); early {
			t.Errorf("%s is left, and delete does nothing", c.what)
		}
		for _, name := range c.create {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, early := remove(t, bundle+"-missing", "box-missing"); early {
		t.Error("without a bundle, delete does nothing")
	}
}
