package libzbox

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/cgroups"
)

func TestStatsHaveTheNamesOfRunc(t *testing.T) {
	in := cgroups.NewStats()
	number := uint64(0)
	fillNumbers(reflect.ValueOf(in).Elem(), &number)
	got := statsJSON(t, newStats(in))
	want, err := os.ReadFile("testdata/stats.json")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s", got)
	}
}

func TestStatsOfNothing(t *testing.T) {
	got := statsJSON(t, newStats(cgroups.NewStats()))
	entry := `{"limit":0,"failcnt":0}`
	want := `{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{}},` +
		`"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,` +
		`"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},` +
		`"memory":{"usage":E,"swap":E,"kernel":E,"kernelTCP":E},"pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null}`
	want = strings.ReplaceAll(want, "E,", entry+",")
	want = strings.ReplaceAll(want, "E}", entry+"}")
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(got)); err != nil {
		t.Fatal(err)
	}
	if compact.String() != want {
		t.Errorf("got\n%s\nwant\n%s", compact.String(), want)
	}
}

func statsJSON(t *testing.T, s *Stats) string {
	t.Helper()
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// fillNumbers gives every field a number of its own, so that a mix-up shows.
func fillNumbers(v reflect.Value, number *uint64) {
	*number++
	switch v.Kind() {
	case reflect.Uint64, reflect.Uint32, reflect.Uint16:
		v.SetUint(*number)
	case reflect.Int64:
		v.SetInt(int64(*number))
	case reflect.Float64:
		v.SetFloat(float64(*number))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("Read")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillNumbers(v.Index(0), number)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillNumbers(v.Elem(), number)
	case reflect.Struct:
		for i := range v.NumField() {
			fillNumbers(v.Field(i), number)
		}
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String { // pages by NUMA node, which are not shown
			return
		}
		value := reflect.New(v.Type().Elem()).Elem()
		fillNumbers(value, number)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("2MB"), value)
	default:
		panic(v.Kind())
	}
}
