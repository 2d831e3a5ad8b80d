package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseSignal(t *testing.T) {
	for text, want := range map[string]unix.Signal{
		"9": unix.SIGKILL, "15": unix.SIGTERM, "0": 0, "64": 64, "TERM": unix.SIGTERM, "SIGTERM": unix.SIGTERM, "term": unix.SIGTERM,
		"sigkill": unix.SIGKILL, "WINCH": unix.SIGWINCH, "RTMIN": 34, "SIGRTMIN+3": 37, "rtmax-1": 63, "RTMAX": 64,
	} {
		if got, err := parseSignal(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "SIG", "FOO", "65", "-9", "+9", "9 ", "0x9", "256", "RTMIN-1", "RTMAX+1", "RTMIN3", "RTMIN+", "RTMIN+99", "SIGSIGKILL"} {
		got, err := parseSignal(text)
		want := `unknown signal "` + text + `"`
		if err == nil || err.Error() != want {
			t.Errorf("got %d, %v, want %s", got, err, want)
		}
	}
}
