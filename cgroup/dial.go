package cgroup

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/opencontainers/cgroups"
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

// Dialing is a connection to systemd that is being made. A nil Dialing is none.
type Dialing struct {
	done    chan struct{}
	manager *unitManager
	err     error
	over    chan struct{} // the container is made, or will not be
}

// Dial begins to connect to the systemd that is going to make a scope, for Config.Dialing: what that takes goes by while the container
// is prepared. It is nil where nothing is to be asked for: with other drivers, and on cgroup v1. HangUp must follow.
func Dial(driver Driver, rootless bool) *Dialing {
	if driver != Systemd || !cgroups.IsCgroup2UnifiedMode() {
		return nil
	}
	connect := dialer(rootless)
	d := &Dialing{done: make(chan struct{}), over: make(chan struct{})}
	go func() {
		defer close(d.done)
		d.manager, d.err = connect()
	}()
	return d
}

// connected waits for the connection, which stays that of the Dialing.
func (d *Dialing) connected() (*unitManager, error) {
	<-d.done
	return d.manager, d.err
}

// HangUp ends the connection. It comes last, behind the container's start: systemd has to do for it, which the container would wait for. It
// does not wait for a systemd that has not answered yet.
func (d *Dialing) HangUp() {
	if d == nil {
		return
	}
	close(d.over)
	go func() {
		if m, err := d.connected(); err == nil {
			m.close()
		}
	}()
}

// dialManager connects to systemd within connectPatience.
func dialManager(user bool) (*unitManager, error) { return dialer(user)() }

// dialer returns what connects to systemd. Root talks to systemd itself, unless DBUS_SYSTEM_BUS_ADDRESS names a bus; there the first word
// is said already, so that systemd is at work before connect is called.
func dialer(user bool) (connect func() (*unitManager, error)) {
	address := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS")
	uid := os.Getuid()
	switch {
	case user:
		return dialUser
	case address == "" && uid == 0:
		if conn, err := greet(); err == nil {
			return func() (*unitManager, error) {
				return boundedConnect(privateSocket, func(m *unitManager, ctx context.Context) error { return m.connectDirectly(ctx, conn) })
			}
		}
		fallthrough // as where root may not see systemd's directory
	case address == "":
		address = systemBus
	}
	return func() (*unitManager, error) { return dialBus(address, uid) }
}

func dialUser() (*unitManager, error) {
	address, err := systemd.DetectUserDbusSessionBusAddress()
	if err != nil {
		return nil, fmt.Errorf("connecting to systemd: %w", err)
	}
	uid, err := systemd.DetectUID()
	if err != nil {
		return nil, fmt.Errorf("connecting to systemd: %w", err)
	}
	return dialBus(address, uid)
}

func dialBus(address string, uid int) (*unitManager, error) {
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
func (m *unitManager) connectDirectly(ctx context.Context, conn *hastyConn) (err error) {
	m.direct = true
	if m.conn, err = dbus.NewConn(conn, dbus.WithContext(ctx)); err != nil {
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
