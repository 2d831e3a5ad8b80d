package cgroup

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/opencontainers/cgroups/systemd"
)

const systemBus = "unix:path=/run/dbus/system_bus_socket"

// privateSocket is systemd's own for root: the same messages as on the bus, without the bus between. Tests change it.
var privateSocket = "/run/systemd/private"

// unitManager is a connection to the systemd of the machine or of a user.
type unitManager struct {
	conn    *dbus.Conn
	object  dbus.BusObject
	signals chan *dbus.Signal
	cancel  context.CancelFunc
	direct  bool // without a bus
}

// dialing is a connection that is being made.
type dialing struct {
	done    chan struct{}
	manager *unitManager
	err     error
}

// dialAhead starts to connect to systemd, for dialed: what that takes goes by while init is made.
func (c *Cgroup) dialAhead() {
	d := &dialing{done: make(chan struct{})}
	go func() {
		defer close(d.done)
		d.manager, d.err = dialManager(c.saved.Rootless)
	}()
	c.dialing = d
}

// dialed connects to systemd, or takes the connection that dialAhead began.
func (c *Cgroup) dialed() (*unitManager, error) {
	d := c.dialing
	if d == nil {
		return dialManager(c.saved.Rootless)
	}
	c.dialing = nil
	<-d.done
	return d.manager, d.err
}

// HangUp ends a connection that Make began and Join did not need. It must come last.
func (c *Cgroup) HangUp() {
	if c.dialing == nil {
		return
	}
	if m, err := c.dialed(); err == nil {
		m.close()
	}
}

// dialManager connects to systemd within connectPatience. Root talks to systemd itself, unless DBUS_SYSTEM_BUS_ADDRESS names a bus.
func dialManager(user bool) (*unitManager, error) {
	address := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS")
	uid := os.Getuid()
	var err error
	switch {
	case user:
		if address, err = systemd.DetectUserDbusSessionBusAddress(); err == nil {
			uid, err = systemd.DetectUID()
		}
	case address == "" && uid == 0:
		if conn, err := net.Dial("unix", privateSocket); err == nil {
			return boundedConnect(privateSocket, func(m *unitManager, ctx context.Context) error { return m.connectDirectly(ctx, conn) })
		}
		fallthrough // as where root may not see systemd's directory
	case address == "":
		address = systemBus
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to systemd: %w", err)
	}
	return boundedConnect(address, func(m *unitManager, ctx context.Context) error { return m.connect(ctx, address, uid) })
}

// boundedConnect is connect, for at most connectPatience.
func boundedConnect(address string, connect func(*unitManager, context.Context) error) (*unitManager, error) {
	ctx, cancel := context.WithCancel(context.Background())
	// The context of the connection closes it, which is what ends a read of its handshake.
	timer := time.AfterFunc(connectPatience, cancel)
	m := &unitManager{signals: make(chan *dbus.Signal, 16), cancel: cancel}
	err := connect(m, ctx)
	late := !timer.Stop()
	if err == nil && !late {
		m.object = m.conn.Object(systemdName, systemdPath)
		m.conn.Signal(m.signals)
		return m, nil
	}
	m.close()
	if late {
		return nil, fmt.Errorf("connecting to systemd: no answer of %s within %v", address, connectPatience)
	}
	return nil, fmt.Errorf("connecting to systemd: %w", err)
}

func (m *unitManager) connect(ctx context.Context, address string, uid int) (err error) {
	if m.conn, err = dbus.Dial(address, dbus.WithContext(ctx)); err != nil {
		return err
	}
	if err = m.conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(uid))}); err != nil {
		return err
	}
	return m.conn.Hello()
}

// connectDirectly makes a connection over privateSocket one that speaks D-Bus. There is nobody to say hello to.
func (m *unitManager) connectDirectly(ctx context.Context, conn net.Conn) (err error) {
	m.direct = true
	hasty := &hastyConn{Conn: conn, reader: bufio.NewReader(conn)}
	if m.conn, err = dbus.NewConn(hasty, dbus.WithContext(ctx)); err != nil {
		return err
	}
	return m.conn.Auth([]dbus.Auth{dbus.AuthExternal("0")})
}

// subscribe asks for the signals about jobs, which systemd itself sends to everybody. No answer is waited for: messages of one
// connection stay in order.
func (m *unitManager) subscribe() {
	if m.direct {
		return
	}
	m.conn.BusObject().Go("org.freedesktop.DBus.AddMatch", dbus.FlagNoReplyExpected, nil,
		"type='signal',sender='"+systemdName+"',path='"+systemdPath+"',member='JobRemoved'")
	m.object.Go(systemdInterface+"Subscribe", dbus.FlagNoReplyExpected, nil)
}

func (m *unitManager) close() {
	m.cancel()
	if m.conn != nil {
		_ = m.conn.Close()
	}
}

// hastyConn says all that a client says in the handshake of D-Bus at once, as systemd's own clients do, and takes one answer, where godbus
// would wait for three.
type hastyConn struct {
	net.Conn
	reader *bufio.Reader
	asked  bool // what is to be said is said
	begun  bool // messages follow
	answer []byte
}

// Write swallows what godbus says in the handshake.
func (h *hastyConn) Write(p []byte) (int, error) {
	if h.begun {
		return h.Conn.Write(p)
	}
	var err error
	if !h.asked {
		h.asked = true
		// godbus asks which ways there are to authenticate before it takes one.
		h.answer = []byte("REJECTED EXTERNAL\r\n")
		_, err = fmt.Fprintf(h.Conn, "\x00AUTH EXTERNAL %s\r\nBEGIN\r\n", hex.EncodeToString([]byte("0")))
	}
	h.begun = bytes.Equal(p, []byte("BEGIN\r\n"))
	return len(p), err
}

// Read hands out one line of the handshake at a time: godbus would lose what it reads behind it.
func (h *hastyConn) Read(p []byte) (int, error) {
	if h.begun {
		return h.reader.Read(p)
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
