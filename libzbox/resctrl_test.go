package libzbox

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/plan"
)

func TestMonitoringGroupInAClassOfOthersIsRemovedAndTheClassStays(t *testing.T) {
	root := t.TempDir() // stands for resctrl, whose directories the kernel removes with their files
	if err := os.MkdirAll(filepath.Join(root, "shared", "mon_groups"), 0o755); err != nil {
		t.Fatal(err)
	}
	r, _ := newRuntime(t)
	c := newContainer(t, r, "web", phaseCreating)
	p := &performer{container: c, pid: 42}
	if err := p.joinClass(root, &plan.IntelRdt{ClosID: "shared", Monitoring: true}); err != nil {
		t.Fatal(err)
	}
	group := filepath.Join(root, "shared", "mon_groups", "web")
	if pid, err := os.ReadFile(filepath.Join(group, "tasks")); err != nil || string(pid) != "42" {
		t.Fatalf("tasks of the monitoring group: %q, %v", pid, err)
	}

	loaded, err := r.Load("web")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(group, "tasks")); err != nil {
		t.Fatal(err)
	}
	if err := loaded.removeResctrl(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(group); !os.IsNotExist(err) {
		t.Errorf("monitoring group is left: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "shared")); err != nil {
		t.Errorf("class of others: %v", err)
	}
}

func TestResctrlStatsAreThoseOfTheMonitoringGroup(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"schemata":        "    MB:0=100;1=100\n    L3:0=fff;1=fff\n",
		"shared/schemata": "    MB:0=20;1=100\n    L3:0=f;1=fff\n",
		"shared/mon_data/mon_L3_00/llc_occupancy":                  "1\n",
		"shared/mon_groups/web/mon_data/mon_L3_00/llc_occupancy":   "4096\n",
		"shared/mon_groups/web/mon_data/mon_L3_00/mbm_total_bytes": "300\n",
		"shared/mon_groups/web/mon_data/mon_L3_00/mbm_local_bytes": "200\n",
		"shared/mon_groups/web/mon_data/mon_L3_01/llc_occupancy":   "Unavailable\n",
	} {
		file = filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, _ := newRuntime(t)
	c := newContainer(t, r, "web", phaseCreating)
	c.spec = &specs.Spec{Linux: &specs.Linux{IntelRdt: &specs.LinuxIntelRdt{ClosID: "shared", EnableMonitoring: true}}}
	stats, err := c.resctrlStats(root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(stats)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"l3_cache_schema_root":"L3:0=fff;1=fff","l3_cache_schema":"L3:0=f;1=fff","mem_bw_schema_root":"MB:0=100;1=100",` +
		`"mem_bw_schema":"MB:0=20;1=100","mbm_stats":[{"mbm_total_bytes":300,"mbm_local_bytes":200}],"cmt_stats":[{"llc_occupancy":4096}]}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
