package network

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// startSlirp returns when slirp4netns(1) has configured the sandbox's end and forwards the ports. The sandbox has the address .100 of
// its subnet: that is fixed.
func startSlirp(program string, c Config, s subnet) error {
	socket := helperFile(c.StateDir, c.ID) + ".sock"
	ready, theirs, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	defer ready.Close()
	log, err := os.Create(helperFile(c.StateDir, c.ID))
	if err != nil {
		theirs.Close()
		return fmt.Errorf("making the helper's log: %w", err)
	}
	defer log.Close()
	args := []string{
		"--configure", "--mtu=65520", "--disable-dns", "--cidr=" + s.String(), "--api-socket", socket,
		"--ready-fd=3", "--userns-path", fmt.Sprintf("/proc/%d/ns/user", c.Pid), "--netns-type=path",
	}
	if !answersLoopback(c) {
		args = append(args, "--disable-host-loopback")
	}
	cmd := exec.Command(program, append(args, fmt.Sprintf("/proc/%d/ns/net", c.Pid), insideName)...)
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return fmt.Errorf("starting %s: %w", program, err)
	}
	_ = ready.SetReadDeadline(time.Now().Add(helperTime))
	if n, _ := ready.Read(make([]byte, 1)); n == 0 {
		_ = cmd.Process.Kill()
		err := cmd.Wait()
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s: %w: %s", program, err, lastWords(string(text)))
	}
	for _, f := range c.Forwards {
		if err := slirpPort(socket, f); err != nil {
			return fmt.Errorf("%s: forwarding port %d/%s: %w", program, f.Host, f.Protocol, err)
		}
	}
	return cmd.Process.Release()
}

// answersLoopback: a client at the host's 127.0.0.1 may ask over UDP. With --disable-host-loopback slirp4netns would not let the answer
// through.
func answersLoopback(c Config) bool {
	return slices.ContainsFunc(c.Forwards, func(f Forward) bool {
		return f.Protocol == "udp" && (f.Bind.IsUnspecified() || f.Bind.IsLoopback())
	})
}

// insideOfSlirp: what the option would keep from the host's loopback interface, rules keep from it where it cannot be given. It is reached
// by an address of the sandbox's subnet.
func insideOfSlirp(c Config, net subnet) (inside, error) {
	i := inside{Shut: !c.Access, Moved: moved(c.Forwards), Address: slirpSandbox(net)}
	if !answersLoopback(c) {
		return i, nil
	}
	// slirp4netns forgets it once another client was answered, and shows 127.0.0.1.
	i.Loopback = slirpHost(net)
	if !c.Access {
		return i, nil
	}
	if c.Privileged {
		return i, errors.New("port_forwards over UDP: slirp4netns answers clients at 127.0.0.1 only where it also lets the sandbox reach what listens there, and the capabilities " +
			"NET_ADMIN and NET_RAW would undo the rules against that: leave them out, install passt, bind the ports to another address, or run zbox as root")
	}
	i.Off = net.Prefix
	return i, nil
}

// slirpSandbox is the sandbox's address, the one that slirp4netns --configure gives.
func slirpSandbox(net subnet) netip.Addr {
	a := net.Addr().As4()
	a[3] = 100
	return netip.AddrFrom4(a)
}

// slirpHost is the host in the sandbox's subnet, its gateway: with slirp4netns always the second address.
func slirpHost(net subnet) netip.Addr { return net.host().Next() }

// slirpPort asks for one port forward (slirp4netns(1), "API socket").
func slirpPort(socket string, f Forward) error {
	conn, err := net.DialTimeout("unix", socket, helperTime)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(helperTime))
	inside := f.Sandbox
	if f.Protocol == "udp" { // it looks for who is answered by the port inside alone, so that none may be there twice; see moved
		inside = f.Host
	}
	request, err := json.Marshal(map[string]any{"execute": "add_hostfwd", "arguments": map[string]any{
		"proto": f.Protocol, "host_addr": f.Bind.String(), "host_port": f.Host, "guest_port": inside,
	}})
	if err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return err
	}
	var answer struct {
		Error *struct {
			Desc string `json:"desc"`
		} `json:"error"`
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(conn); err != nil {
		return err
	}
	if err := json.Unmarshal(text.Bytes(), &answer); err != nil {
		return fmt.Errorf("%w: %s", err, text.String())
	}
	if answer.Error != nil {
		return fmt.Errorf("refused: %s", answer.Error.Desc)
	}
	return nil
}
