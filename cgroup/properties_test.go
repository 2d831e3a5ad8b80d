package cgroup

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/cgroups"
)

func TestLimitProperties(t *testing.T) {
	const none = "18446744073709551615"
	tests := []struct {
		name      string
		in        cgroups.Resources
		want, err string
	}{
		{name: "nothing"},
		{
			name: "memory", in: cgroups.Resources{Memory: 64, MemoryReservation: 32, MemorySwap: 96},
			want: "MemoryMax=64 MemoryLow=32 MemorySwapMax=32",
		},
		{name: "no swap", in: cgroups.Resources{Memory: 64, MemorySwap: 64}, want: "MemoryMax=64 MemorySwapMax=0"},
		{name: "unlimited memory", in: cgroups.Resources{Memory: -1}, want: "MemoryMax=" + none + " MemorySwapMax=" + none},
		{name: "swap below memory", in: cgroups.Resources{Memory: 64, MemorySwap: 1}, err: "linux.resources.memory.swap: memory+swap limit should be >= memory limit"},
		{name: "weight", in: cgroups.Resources{CpuShares: 1024, CpuWeight: 100}, want: "CPUWeight=100"},
		{name: "quota", in: cgroups.Resources{CpuQuota: 30000}, want: "CPUQuotaPerSecUSec=300000"},
		{name: "quota and period", in: cgroups.Resources{CpuQuota: 30000, CpuPeriod: 50000}, want: "CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec=600000"},
		{name: "quota between two percents", in: cgroups.Resources{CpuQuota: 12345, CpuPeriod: 100000}, want: "CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=130000"},
		{name: "no quota", in: cgroups.Resources{CpuQuota: -1, CpuPeriod: 100000}, want: "CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=" + none},
		{name: "pids", in: cgroups.Resources{PidsLimit: ptr(int64(7))}, want: "TasksMax=7"},
		{name: "pids 0", in: cgroups.Resources{PidsLimit: ptr(int64(0))}, want: "TasksMax=1"},
		{name: "pids -1", in: cgroups.Resources{PidsLimit: ptr(int64(-1))}, want: "TasksMax=" + none},
		{name: "cpuset", in: cgroups.Resources{CpusetCpus: "0,2-3", CpusetMems: "0"}, want: "AllowedCPUs=[13] AllowedMemoryNodes=[1]"},
		{name: "cpuset that is none", in: cgroups.Resources{CpusetCpus: "x"}, err: `linux.resources.cpu.cpus: "x": strconv.ParseUint: parsing "x": invalid syntax`},
		{
			name: "unified", in: cgroups.Resources{Unified: map[string]string{"memory.high": "max", "cpu.max": "max", "pids.max": "5", "io.max": "8:0 rbps=1", "cpuset.cpus": "1"}},
			want: "CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=" + none + " AllowedCPUs=[2] MemoryHigh=" + none + " TasksMax=5",
		},
		{name: "unified that is no number", in: cgroups.Resources{Unified: map[string]string{"pids.max": "few"}}, err: `linux.resources.unified["pids.max"]: "few" is neither a number nor max`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			props, err := limitProperties(&tt.in)
			if text(err) != tt.err {
				t.Fatalf("error %q, want %q", text(err), tt.err)
			}
			var words []string
			for _, p := range props {
				words = append(words, fmt.Sprintf("%s=%v", p.Name, p.Value.Value()))
			}
			if got := strings.Join(words, " "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestUserSession(t *testing.T) {
	for path, want := range map[string]string{
		"/user.slice/user-1000.slice/user@1000.service/app.slice/x.service": "/user.slice/user-1000.slice/user@1000.service",
		"/user.slice/user-1000.slice/session-2.scope":                       "",
		"/": "",
	} {
		if got, _ := userSession(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}
