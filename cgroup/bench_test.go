package cgroup

import (
	"os/exec"
	"testing"
)

// BenchmarkCreateDestroy is what a container costs without its process.
func BenchmarkCreateDestroy(b *testing.B) {
	cfg := Config{ID: testID(b), Facts: probe(b)}
	for b.Loop() {
		c, err := New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Create(); err != nil {
			b.Fatal(err)
		}
		if err := c.Destroy(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkJoin is what entering costs where a process cannot be born in its cgroup.
func BenchmarkJoin(b *testing.B) {
	c := create(b, Config{})
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{viewVariable + "=sleep"}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = stdin.Close(); _ = cmd.Wait() }()
	for b.Loop() {
		if err := c.Join(cmd.Process.Pid); err != nil {
			b.Fatal(err)
		}
	}
}
