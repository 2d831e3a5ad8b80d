package cgroup

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// hastyConn is a connection to systemd's own socket for godbus, without what takes long there: all that a client says in the handshake is
// said at once by greet, as systemd's own clients do, and takes one answer, where godbus would wait for three; and it keeps back the
// signals that nobody waits for, which systemd sends there unasked: decoding them takes longer than all the rest.
type hastyConn struct {
	*os.File
	reader *bufio.Reader
	begun  bool // messages follow
	answer []byte
	left   uint64 // bytes of the message that is being read
}

// greet connects to systemd's own socket and says what a client of root says (D-Bus specification, "Authentication Protocol"). It does not
// wait for the answer.
func greet() (*hastyConn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: privateSocket}); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "connect", Path: privateSocket, Err: err}
	}
	f := os.NewFile(uintptr(fd), privateSocket)
	if _, err := fmt.Fprintf(f, "\x00AUTH EXTERNAL %s\r\nBEGIN\r\n", hex.EncodeToString([]byte("0"))); err != nil {
		f.Close()
		return nil, err
	}
	// godbus asks which ways there are to authenticate before it takes one.
	return &hastyConn{File: f, reader: bufio.NewReader(f), answer: []byte("REJECTED EXTERNAL\r\n")}, nil
}

// Write swallows what godbus says in the handshake.
func (h *hastyConn) Write(p []byte) (int, error) {
	if h.begun {
		return h.File.Write(p)
	}
	h.begun = bytes.Equal(p, []byte("BEGIN\r\n"))
	return len(p), nil
}

// Read hands out one line of the handshake at a time: godbus would lose what it reads behind it.
func (h *hastyConn) Read(p []byte) (int, error) {
	if h.begun {
		return h.readMessage(p)
	}
	if len(h.answer) == 0 {
		line, err := h.reader.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		h.answer = line
	}
	n := copy(p, h.answer)
	h.answer = h.answer[n:]
	return n, nil
}

// readMessage reads from a message, and no further than to its end.
func (h *hastyConn) readMessage(p []byte) (int, error) {
	for h.left == 0 {
		length, wanted, err := h.nextMessage()
		if err != nil {
			return 0, err
		}
		if wanted {
			h.left = length
		} else if _, err := h.reader.Discard(int(length)); err != nil {
			return 0, err
		}
	}
	n, err := h.reader.Read(p[:min(uint64(len(p)), h.left)])
	h.left -= uint64(n)
	return n, err
}

// nextMessage looks at the next message: how long it is, and whether it is an answer or the end of a job (D-Bus specification, "Message
// Format").
func (h *hastyConn) nextMessage() (length uint64, wanted bool, err error) {
	const (
		fixed     = 16 // byte order, type, flags, version, length of the body, serial number, length of the header's fields
		longest   = 1 << 27
		signal    = 4
		bigEndian = 'B'
	)
	start, err := h.reader.Peek(fixed)
	if err != nil {
		return 0, false, err
	}
	var order binary.ByteOrder = binary.LittleEndian
	if start[0] == bigEndian {
		order = binary.BigEndian
	}
	fields := uint64(order.Uint32(start[12:]))
	length = fixed + (fields+7)/8*8 + uint64(order.Uint32(start[4:]))
	if length > longest {
		return 0, false, fmt.Errorf("message of %d bytes from systemd", length)
	}
	if start[1] != signal || fixed+fields > uint64(h.reader.Size()) {
		return length, true, nil
	}
	header, err := h.reader.Peek(int(fixed + fields))
	return length, bytes.Contains(header, []byte("JobRemoved")), err
}
