package criu

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// answer is criu_resp of images/rpc.proto.
type answer struct {
	kind         int
	success      bool
	pid          int // of what was restored
	notification Notification
	errno        int
	text         string // the first error of the log
	features     uint   // bit N is field N of criu_features
	version      int    // 31701 for 3.17.1
}

// Error is what criu says of a dump or restore that failed. Its log tells more.
type Error struct {
	Text  string // may be empty
	Errno unix.Errno
}

func (e *Error) Error() string {
	switch {
	case e.Text != "":
		return "criu: " + e.Text
	case e.Errno != 0:
		return "criu: " + e.Errno.Error()
	}
	return "criu: no reason given"
}

func (a answer) failure() error {
	if a.success {
		return nil
	}
	return &Error{Text: a.text, Errno: unix.Errno(a.errno)}
}

func decodeAnswer(data []byte) (answer, error) {
	var a answer
	err := message(data).fields(func(field int, n uint64, data []byte) error {
		var err error
		switch field {
		case 1:
			a.kind = int(n)
		case 2:
			a.success = n != 0
		case 4: // criu_restore_resp
			err = message(data).fields(func(_ int, n uint64, _ []byte) error { a.pid = int(int32(n)); return nil })
		case 5:
			a.notification, err = decodeNotification(data)
		case 7:
			a.errno = int(int32(n))
		case 8:
			err = message(data).fields(func(field int, n uint64, _ []byte) error {
				if n != 0 && field < 32 {
					a.features |= 1 << field
				}
				return nil
			})
		case 9:
			a.text = string(data)
		case 10:
			a.version, err = decodeVersion(data)
		}
		return err
	})
	if err == nil && a.kind == 0 {
		err = errors.New("answer of criu without a type")
	}
	if err != nil {
		return a, fmt.Errorf("reading criu's answer: %w", err)
	}
	return a, nil
}

func decodeNotification(data []byte) (n Notification, err error) {
	err = message(data).fields(func(field int, v uint64, data []byte) error {
		switch field {
		case 1:
			n.Script = string(data)
		case 2:
			n.Pid = int(int32(v))
		}
		return nil
	})
	return n, err
}

// decodeVersion makes one number of criu_version: 3.17.1 is 31701.
func decodeVersion(data []byte) (int, error) {
	version := 0
	err := message(data).fields(func(field int, v uint64, _ []byte) error {
		switch field {
		case 1:
			version += int(v) * 10000
		case 2:
			version += int(v) * 100
		case 4:
			version += int(v)
		}
		return nil
	})
	return version, err
}
