package main

import (
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-1": -1, "1048576": 1 << 20, "1k": 1 << 10, "512m": 512 << 20, "512M": 512 << 20, "2g": 2 << 30, "2GB": 2 << 30,
		"2GiB": 2 << 30, "1.5g": 3 << 29, "3t": 3 << 40, "1p": 1 << 50, "7b": 7, "1 MiB": 1 << 20, "9223372036854775807": 1<<63 - 1,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "k", "-2", "-1k", "1x", "1kk", "1bk", "0x10", "1e3", "inf", "nan", "1.2.3", "8192p", "9223372036854775808", "+1", "i"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%s: got %d, want an error", text, got)
		}
	}
}

func resourcesFrom(t *testing.T, stdin string, args ...string) (*specs.LinuxResources, error) {
	t.Helper()
	var r *specs.LinuxResources
	err := parse(t, append([]string{"--root", "/r", "update"}, args...), func(c *cli.Context) (err error) {
		c.App.Reader = strings.NewReader(stdin)
		r, err = updatedResources(c)
		return err
	})
	return r, err
}

func ptr[T any](v T) *T { return &v }

func TestUpdateFlags(t *testing.T) {
	tests := []struct {
		name, args string
		want       *specs.LinuxResources
	}{
		{"nothing", "web", &specs.LinuxResources{}},
		{"memory", "--memory 512m --memory-swap -1 --memory-reservation=1048576 web", &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: ptr[int64](512 << 20), Swap: ptr[int64](-1), Reservation: ptr[int64](1 << 20)},
		}},
		{"obsolete memory", "--kernel-memory 1k --kernel-memory-tcp 2k web", &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Kernel: ptr[int64](1 << 10), KernelTCP: ptr[int64](2 << 10)},
		}},
		{
			"processor",
			"--cpu-period 100000 --cpu-quota -1 --cpu-burst 5 --cpu-share 1024 --cpu-rt-period 6 --cpu-rt-runtime 7 --cpu-idle 1 --cpuset-cpus 0-1 --cpuset-mems 0 web",
			&specs.LinuxResources{CPU: &specs.LinuxCPU{
				Period: ptr[uint64](100000), Quota: ptr[int64](-1), Burst: ptr[uint64](5), Shares: ptr[uint64](1024),
				RealtimePeriod: ptr[uint64](6), RealtimeRuntime: ptr[int64](7), Idle: ptr[int64](1), Cpus: "0-1", Mems: "0",
			}},
		},
		{"processes", "--pids-limit -1 web", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr[int64](-1)}}},
		{"block I/O", "--blkio-weight 500 web", &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr[uint16](500)}}},
		{"JSON on stdin", "-r - web", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr[int64](5)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := resourcesFrom(t, `{"pids":{"limit":5},"unknown":1}`, strings.Fields(tt.args)...)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestUpdateRefuses(t *testing.T) {
	tests := []struct{ name, args, want string }{
		{"no number", "--cpu-quota x web", `--cpu-quota: "x" is not a number`},
		{"a negative share", "--cpu-share -1 web", `--cpu-share: "-1" is not a number`},
		{"no size", "--memory lots web", `--memory: "lots" is not a size such as 1048576, 512m, 1.5GiB or -1`},
		{"a weight that wraps", "--blkio-weight 65546 web", `--blkio-weight: "65546" is not between 10 and 1000`},
		{"a file and a flag", "-r - --memory 1m web", "--resources: the file holds all limits; --memory belongs in it"},
		{"no file", "-r /nowhere web", "--resources: open /nowhere: no such file or directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := resourcesFrom(t, "", strings.Fields(tt.args)...)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
