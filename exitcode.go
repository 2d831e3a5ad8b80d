package main

import (
	"errors"
	"strconv"
)

// The exit codes, as runc 1.1 to 1.4 have them and engines expect them (checked with runc 1.1.5):
//
//	0        done
//	N, 128+N run and foreground exec: what the process returned, or the signal that ended it
//	1        zbox itself could not do it: every command but exec, also run of a program that is missing or not executable
//	255      the same for exec, so that it can be told from most exit codes of programs
//
// 126 and 127 are made by the engines: podman and docker derive them from the text of the error ("permission denied",
// "executable file not found in", "no such file or directory").
const (
	codeFailed     = 1
	codeExecFailed = 255
)

// processStatus is how a process that zbox waited for ended; main exits with it and prints nothing.
type processStatus int

func (s processStatus) Error() string { return "exit status " + strconv.Itoa(int(s)) }

// ended is the error that carries the exit status of a process to main.
func ended(status int, err error) error {
	if err != nil || status == 0 {
		return err
	}
	return processStatus(status)
}

// exitCode is what zbox exits with after err. reported says whether err is about zbox, and so to be printed.
func exitCode(command string, err error) (code int, reported bool) {
	var status processStatus
	switch {
	case err == nil:
		return 0, false
	case errors.As(err, &status):
		return int(status), false
	case command == "exec":
		return codeExecFailed, true
	default:
		return codeFailed, true
	}
}
