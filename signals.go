package main

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The real-time signals as programs see them (signal(7)): the C library keeps 32 and 33 for itself. systemd as a container's init
// is stopped with RTMIN+3.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// parseSignal reads a number from 0 to 64 or a name in any case, with or without SIG.
func parseSignal(text string) (unix.Signal, error) {
	if n, err := strconv.ParseUint(text, 10, 8); err == nil && n <= sigRTMax {
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	for base, prefix := range map[unix.Signal]string{sigRTMin: "RTMIN", sigRTMax: "RTMAX"} {
		rest, found := strings.CutPrefix(name, prefix)
		if !found {
			continue
		}
		if rest == "" {
			return base, nil
		}
		offset, err := strconv.Atoi(rest)
		sig := base + unix.Signal(offset)
		if err == nil && (rest[0] == '+' || rest[0] == '-') && sig >= sigRTMin && sig <= sigRTMax {
			return sig, nil
		}
	}
	return 0, fmt.Errorf("unknown signal %q", text)
}
