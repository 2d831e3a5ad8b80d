package plan

import (
	"encoding/binary"
	"strings"
	"testing"
)

func record(kind, step, errno, value uint32, detail string) []byte {
	b := make([]byte, ReportSize)
	for i, v := range []uint32{kind, step, errno, value} {
		binary.LittleEndian.PutUint32(b[4*i:], v)
	}
	copy(b[16:], detail)
	return b
}

func TestDecodeReport(t *testing.T) {
	long := strings.Repeat("x", detailSize)
	const size, damaged = "report of the stage has the wrong size", "report of the stage is damaged"
	for _, tc := range []struct {
		name string
		data []byte
		want Report
		err  string
	}{
		{"a failure", record(7, 23, 2, 0, "open source /x"), Report{ReportFailed, 23, 2, 0, "open source /x"}, ""},
		{"a pid", record(1, 4, 0, 4711, ""), Report{ReportCloned, 4, 0, 4711, ""}, ""},
		{"a negative value", record(2, 0, 0, 0xffffffff, ""), Report{ReportSync, 0, 0, -1, ""}, ""},
		{"a detail that fills the record", record(4, 1, 0, 0, long), Report{ReportWarning, 1, 0, 0, long}, ""},
		{"bytes behind the detail", record(4, 1, 0, 0, "a\x00b"), Report{ReportWarning, 1, 0, 0, "a"}, ""},
		{"nothing", nil, Report{}, size},
		{"a short record", record(1, 0, 0, 0, "")[:ReportSize-1], Report{}, size},
		{"a long record", append(record(1, 0, 0, 0, ""), 0), Report{}, size},
		{"kind 0", record(0, 0, 0, 0, ""), Report{}, damaged},
		{"a kind that only Go has", record(uint32(ReportStarted), 0, 0, 0, ""), Report{}, damaged},
		{"an errno that is none", record(7, 0, 4096, 0, ""), Report{}, damaged},
		{"a negative errno", record(7, 0, 0xffffffff, 0, ""), Report{}, damaged},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := DecodeReport(tc.data)
			if got != tc.want {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
			if (err == nil) != (tc.err == "") || (err != nil && err.Error() != tc.err) {
				t.Errorf("got the error %v, want %q", err, tc.err)
			}
		})
	}
}

func TestRecordsForTheStage(t *testing.T) {
	for _, tc := range []struct {
		got  []byte
		want string
	}{
		{EncodeAck(), "\x01\x00\x00\x00\x00\x00\x00\x00"},
		{EncodePlanRecord(3), "\x02\x00\x00\x00\x03\x00\x00\x00"},
	} {
		if string(tc.got) != tc.want || len(tc.got) != AckSize {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}

func FuzzDecodeReport(f *testing.F) {
	f.Add(record(7, 23, 2, 0, "open"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeReport(data)
		if err == nil && (len(r.Detail) > detailSize || strings.Contains(r.Detail, "\x00")) {
			t.Errorf("detail %q", r.Detail)
		}
	})
}
