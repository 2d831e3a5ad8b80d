package cgroup

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/godbus/dbus/v5"
)

// fakeSystemd answers one connection: the handshake with one line and a signal in the same breath, and every call with a path.
func fakeSystemd(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "private")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return // the test is over
		}
		defer conn.Close()
		const hello = "\x00AUTH EXTERNAL 30\r\nBEGIN\r\n"
		in := bufio.NewReader(conn)
		said := make([]byte, len(hello))
		if _, err := io.ReadFull(in, said); err != nil || string(said) != hello {
			t.Errorf("the handshake is %q, %v", said, err)
			return
		}
		var out bytes.Buffer
		out.WriteString("OK 0123456789abcdef0123456789abcdef\r\n")
		send(t, &out, &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(systemdPath)), dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.systemd1.Manager"),
			dbus.FieldMember: dbus.MakeVariant("Reloading"),
		}})
		_, _ = out.WriteTo(conn)
		for {
			call, err := dbus.DecodeMessage(in)
			if err != nil {
				return // hung up
			}
			path := dbus.ObjectPath("/unit")
			send(t, &out, &dbus.Message{Type: dbus.TypeMethodReply, Body: []any{path}, Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()), dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(path)),
			}})
			_, _ = out.WriteTo(conn)
		}
	}()
	return socket
}

// send encodes a message. godbus numbers only those that a connection sends, and the number is at a fixed place (bytes 8 to 11).
func send(t *testing.T, w io.Writer, m *dbus.Message) {
	t.Helper()
	var text bytes.Buffer
	if err := m.EncodeTo(&text, binary.LittleEndian); err != nil {
		t.Error(err)
	}
	binary.LittleEndian.PutUint32(text.Bytes()[8:], 1)
	_, _ = text.WriteTo(w)
}

func TestRootTalksToSystemdItself(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: others talk to a bus")
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "")
	defer func(old string) { privateSocket = old }(privateSocket)
	privateSocket = fakeSystemd(t)
	m, err := dialManager(false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	for range 2 {
		var path dbus.ObjectPath
		if err := m.call("GetUnit", "x.scope").Store(&path); err != nil || path != "/unit" {
			t.Errorf("the answer is %q, %v", path, err)
		}
	}
}
