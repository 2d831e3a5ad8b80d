package plan

import (
	"encoding/binary"
	"errors"
	"strings"
)

// ReportKind says what a report of the stage is about.
type ReportKind uint32

// The reports, in the order of a container's life.
const (
	ReportCloned  ReportKind = iota + 1 // Value is the pid of the container's init process
	ReportSync                          // the stage waits for an Ack at Step
	ReportConsole                       // carries the pty's master
	ReportWarning                       // Detail says what could not be done
	ReportCreated                       // WaitStart is reached
	ReportSeccomp                       // carries the listener of a filter with NOTIFY
	ReportFailed                        // Step failed with Errno; Detail says in what
	ReportStarted                       // not sent by the stage: its socket was closed by execve(2)
)

// ReportSize and AckSize are the sizes of the records on the report socket (SOCK_SEQPACKET), in bytes.
const (
	ReportSize = 272
	AckSize    = 8
	detailSize = ReportSize - 16
)

// The kinds of record that go down to the stage.
const (
	// AckGo lets the stage go on; it has no value.
	AckGo = 1
	// AckPlan brings the plan and the descriptors that it names, with SCM_RIGHTS and in order; its value is how many there are in
	// all. They may come in several records of at most MaxRights each.
	AckPlan = 2
)

// MaxRights is how many descriptors one record carries; the kernel's own limit is 253 (SCM_MAX_FD).
const MaxRights = 250

// Report is one record from the stage.
type Report struct {
	Kind   ReportKind
	Step   int // number in the plan, from 1; 0 outside of any step
	Errno  int
	Value  int
	Detail string
}

// DecodeReport reads one record. The stage may have been taken over by nobody yet, but its bytes are checked all the same.
func DecodeReport(b []byte) (Report, error) {
	if len(b) != ReportSize {
		return Report{}, errors.New("report of the stage has the wrong size")
	}
	le := binary.LittleEndian
	r := Report{
		Kind:  ReportKind(le.Uint32(b)),
		Step:  int(le.Uint32(b[4:])),
		Errno: int(int32(le.Uint32(b[8:]))),
		Value: int(int32(le.Uint32(b[12:]))),
	}
	if r.Kind < ReportCloned || r.Kind > ReportFailed || r.Errno < 0 || r.Errno > 4095 {
		return Report{}, errors.New("report of the stage is damaged")
	}
	r.Detail, _, _ = strings.Cut(string(b[16:]), "\x00")
	return r, nil
}

// EncodeAck returns the acknowledgement that lets the stage go on behind a Sync, or that starts it at WaitStart.
func EncodeAck() []byte { return encodeDown(AckGo, 0) }

// EncodePlanRecord returns the record that the plan comes with; count is the number of descriptors in all.
func EncodePlanRecord(count int) []byte { return encodeDown(AckPlan, count) }

func encodeDown(kind uint32, value int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, kind)
	return binary.LittleEndian.AppendUint32(b, uint32(int32(value)))
}
