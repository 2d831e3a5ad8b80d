// Command peer is the client and the server of the network tests, inside of sandboxes and outside:
//
//	peer serve tcp::80 udp:192.0.2.1:53   answers everybody with their own address; says "ready" when it listens
//	peer dns 203.0.113.7 udp:192.0.2.1:53 answers every question for an IPv4 address with this one
//	peer ask tcp 192.0.2.1:80             prints the answer, or why there is none; asks again when one may have been lost
//	peer knock tcp 192.0.2.1:80           is ask where nobody is expected to answer: gives up soon
//	peer leave tcp 192.0.2.1:80           connects, says "ready", and behind its input's end leaves without waiting for an answer
//	peer turn tcp::80                     answers one client with its address and port, and then tries to get an answer from each address that a
//	                                      line of its input names, from the same port as before
//	peer alone /tmp/socket                connects to itself by AF_UNIX, and by TCP on loopback, and prints what went through
//	peer lookup NAME                      prints the address that the resolvers of /etc/resolv.conf know
//
// Servers end with their standard input.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// patience is how long a client waits for an answer, on a busy machine, and brief how long for one that should not come.
const (
	patience = time.Minute
	brief    = 2 * time.Second
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Println(reason(err))
		os.Exit(1)
	}
}

func run(command string, args []string) error {
	switch command {
	case "serve":
		return serve(args, netip.Addr{})
	case "dns":
		return serve(args[1:], netip.MustParseAddr(args[0]))
	case "ask":
		return ask(args[0], args[1], patience)
	case "knock":
		return ask(args[0], args[1], brief)
	case "leave":
		return leave(args[0], args[1])
	case "turn":
		protocol, address, _ := strings.Cut(args[0], ":")
		return turn(protocol+"4", address)
	case "alone":
		return errors.Join(through("unix", args[0]), through("tcp4", "127.0.0.1:0"))
	case "lookup":
		addresses, err := net.LookupHost(args[0])
		fmt.Println(strings.Join(addresses, " "))
		return err
	}
	return errors.New("unknown command")
}

// reason is the innermost text: "connection refused", "no route to host", "timeout".
func reason(err error) string {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err.Error()
}

func ask(protocol, address string, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	d := net.Dialer{Timeout: patience, Control: reuse} // somebody else may listen on its port as soon as it is gone
	conn, err := d.Dial(protocol, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	buf, n := make([]byte, 64), 0
	for again := true; again; {
		if _, err := conn.Write([]byte("?\n")); err != nil {
			return err
		}
		limit := deadline
		if protocol == "udp" {
			limit = time.Now().Add(brief) // datagrams get lost
		}
		if err := conn.SetReadDeadline(limit); err != nil {
			return err
		}
		n, err = conn.Read(buf)
		again = errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(deadline)
	}
	if err != nil {
		return err
	}
	fmt.Print(string(buf[:n]))
	return nil
}

func leave(protocol, address string) error {
	conn, err := net.DialTimeout(protocol, address, patience)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	_, err = conn.Write([]byte("bye\n"))
	return err
}

// through sends the name of the network over a connection to itself.
func through(network, address string) error {
	l, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		if conn, err := net.Dial(network, l.Addr().String()); err == nil {
			fmt.Fprintln(conn, network)
			conn.Close()
		}
	}()
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.Copy(os.Stdout, conn)
	return err
}

// serve opens all ports, serves them, and ends with standard input. answer is what dns says.
func serve(ports []string, answer netip.Addr) error {
	for _, port := range ports {
		protocol, address, _ := strings.Cut(port, ":")
		if protocol == "tcp" {
			l, err := net.Listen("tcp4", address)
			if err != nil {
				return err
			}
			go serveTCP(l)
			continue
		}
		c, err := net.ListenPacket("udp4", address)
		if err != nil {
			return err
		}
		if answer.IsValid() {
			go serveDNS(c, answer)
		} else {
			go serveUDP(c)
		}
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func serveTCP(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		// What is not read when a connection is closed would end it with an error for the client.
		if _, err := conn.Read(make([]byte, 64)); err == nil {
			fmt.Fprintln(conn, host(conn.RemoteAddr()))
		}
		conn.Close()
	}
}

func serveUDP(c net.PacketConn) {
	buf := make([]byte, 64)
	for {
		_, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = c.WriteTo([]byte(host(from)+"\n"), from)
	}
}

func host(a net.Addr) string {
	h, _, _ := net.SplitHostPort(a.String())
	return h
}

// serveDNS answers questions of type A (RFC 1035, 4.1); others have no answer.
func serveDNS(c net.PacketConn, answer netip.Addr) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		end := 12
		for end < n && buf[end] != 0 {
			end += int(buf[end]) + 1
		}
		end += 5 // the root label, type and class
		if end > n {
			continue
		}
		reply := append([]byte{}, buf[:end]...)
		count := uint16(0)
		if binary.BigEndian.Uint16(buf[end-4:]) == 1 {
			count = 1
			reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
			reply = append(reply, answer.AsSlice()...)
		}
		binary.BigEndian.PutUint16(reply[2:], 0x8180)
		binary.BigEndian.PutUint16(reply[6:], count)
		binary.BigEndian.PutUint32(reply[8:], 0)
		_, _ = c.WriteTo(reply, from)
	}
}
