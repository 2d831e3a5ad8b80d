package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// attackTime is how long each attempt may take. Most get no answer at all.
const attackTime = 500 * time.Millisecond

// turn is a server that turns on its client: what was let through for the answer may let other things through.
func turn(network, address string) error {
	attack, err := serveOnce(network, address)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer, err := attack(lines.Text())
		if err != nil {
			answer = reason(err)
		}
		fmt.Println(answer)
	}
	return lines.Err()
}

// serveOnce answers one client, and returns what asks others from the same port.
func serveOnce(network, address string) (attack func(string) (string, error), err error) {
	if network == "udp4" {
		return serveOneDatagram(address)
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	fmt.Println("ready")
	conn, err := l.Accept()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 64)); err != nil {
		return nil, err
	}
	fmt.Fprintln(conn, conn.RemoteAddr())
	// The client leaves first, so that no end of the connection lingers here.
	_, err = io.Copy(io.Discard, conn)
	return func(to string) (string, error) {
		d := net.Dialer{LocalAddr: l.Addr(), Timeout: attackTime, Control: reuse}
		conn, err := d.Dial(network, to)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return exchange(conn)
	}, err
}

// serveOneDatagram answers its client as often as that asks: datagrams get lost.
func serveOneDatagram(address string) (attack func(string) (string, error), err error) {
	c, err := net.ListenPacket("udp4", address)
	if err != nil {
		return nil, err
	}
	fmt.Println("ready")
	asked, answers := make(chan struct{}, 1), make(chan string, 64)
	go func() {
		buf := make([]byte, 64)
		for {
			n, from, err := c.ReadFrom(buf)
			switch {
			case err != nil: // of an attack
			case string(buf[:n]) != "?\n":
				answers <- strings.TrimSpace(string(buf[:n]))
			default:
				_, _ = c.WriteTo([]byte(from.String()+"\n"), from)
				select {
				case asked <- struct{}{}:
				default:
				}
			}
		}
	}()
	<-asked
	return func(to string) (string, error) {
		a, err := net.ResolveUDPAddr("udp4", to)
		if err != nil {
			return "", err
		}
		if _, err := c.WriteTo([]byte("?\n"), a); err != nil {
			return "", err
		}
		select {
		case answer := <-answers:
			return answer, nil
		case <-time.After(attackTime):
			return "", os.ErrDeadlineExceeded
		}
	}, nil
}

func exchange(conn net.Conn) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(attackTime)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("?\n")); err != nil {
		return "", err
	}
	buf := make([]byte, 64)
	n, err := conn.Read(buf)
	return strings.TrimSpace(string(buf[:n])), err
}

// reuse lets a connection have the port of one that has ended.
func reuse(_, _ string, c syscall.RawConn) (err error) {
	cerr := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) })
	if cerr != nil {
		return cerr
	}
	return err
}
