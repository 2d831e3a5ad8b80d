package cgroup

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// fakeSystemd answers one connection: the handshake with one line and a signal in the same breath, and every call with a path, between
// signals that nobody waits for, and the end of a job.
func fakeSystemd(t *testing.T, result string) (socket string) {
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
		send(t, &out, signal("Reloading"))
		_, _ = out.WriteTo(conn)
		for {
			call, err := dbus.DecodeMessage(in)
			if err != nil {
				return // hung up
			}
			path := dbus.ObjectPath("/unit")
			send(t, &out, signal("UnitNew", strings.Repeat("longer than the buffer ", 1000)))
			send(t, &out, &dbus.Message{Type: dbus.TypeMethodReply, Body: []any{path}, Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()), dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(path)),
			}})
			send(t, &out, signal("PropertiesChanged", "odd"))
			send(t, &out, signal("JobRemoved", uint32(1), path, "x.scope", result))
			_, _ = out.WriteTo(conn)
		}
	}()
	return socket
}

// signal is one of systemd's manager.
func signal(member string, body ...any) *dbus.Message {
	return &dbus.Message{Type: dbus.TypeSignal, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(systemdPath)), dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.systemd1.Manager"),
		dbus.FieldMember: dbus.MakeVariant(member), dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(body...)),
	}}
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

// dialFake connects to a fakeSystemd whose jobs end with result.
func dialFake(t *testing.T, result string) *unitManager {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: others talk to a bus")
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "")
	old := privateSocket
	t.Cleanup(func() { privateSocket = old })
	privateSocket = fakeSystemd(t, result)
	m, err := dialManager(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return m
}

func TestRootTalksToSystemdItself(t *testing.T) {
	m := dialFake(t, "done")
	for range 2 {
		var path dbus.ObjectPath
		if err := m.call("GetUnit", "x.scope").Store(&path); err != nil || path != "/unit" {
			t.Errorf("the answer is %q, %v", path, err)
		}
	}
}

func TestJobIsOverWhenSystemdSaysSo(t *testing.T) {
	m := dialFake(t, "done")
	for range 2 {
		if err := m.job("StopUnit", "x.scope", "replace"); err != nil {
			t.Error(err)
		}
	}
}

func TestFailedJobIsAnError(t *testing.T) {
	err := dialFake(t, "failed").job("StartTransientUnit", "x.scope")
	if err == nil || !strings.Contains(err.Error(), `its job ended with "failed"`) {
		t.Errorf("the error is %v", err)
	}
}

func TestOnlySignalsThatAreWaitedForAreDecoded(t *testing.T) {
	m := dialFake(t, "done")
	if err := m.call("GetUnit", "x.scope").Err; err != nil {
		t.Fatal(err)
	}
	if got := <-m.signals; got.Name != "org.freedesktop.systemd1.Manager.JobRemoved" {
		t.Errorf("the first signal is %s", got.Name)
	}
}
