package nsexec

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/plan"
)

// A stage may fail before it reads the answer that was sent ahead of its question. The kernel then reports a reset connection before
// it hands out what the stage has said.
func TestLastReportOfAStageThatLeftAnAnswerUnread(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	stage := &Stage{sock: pair[0]}
	defer unix.Close(pair[0])
	if err := stage.Ack(); err != nil {
		t.Fatal(err)
	}
	failed := make([]byte, plan.ReportSize)
	failed[0] = byte(plan.ReportFailed)
	if err := unix.Send(pair[1], failed, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(pair[1]); err != nil {
		t.Fatal(err)
	}
	if r, _, err := stage.Next(); err != nil || r.Kind != plan.ReportFailed {
		t.Errorf("report %+v, error %v, want the failure", r, err)
	}
	if r, _, err := stage.Next(); err != nil || r.Kind != plan.ReportStarted {
		t.Errorf("report %+v, error %v, want the end", r, err)
	}
}
