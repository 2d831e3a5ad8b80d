package network

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
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
	cmd := exec.Command(program, "--configure", "--mtu=65520", "--disable-host-loopback", "--disable-dns", "--cidr="+s.String(), "--api-socket", socket,
		"--ready-fd=3", "--userns-path", fmt.Sprintf("/proc/%d/ns/user", c.Pid), "--netns-type=path", fmt.Sprintf("/proc/%d/ns/net", c.Pid), insideName)
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

// slirpPort asks for one port forward (slirp4netns(1), "API socket").
func slirpPort(socket string, f Forward) error {
	conn, err := net.DialTimeout("unix", socket, helperTime)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(helperTime))
	request, err := json.Marshal(map[string]any{"execute": "add_hostfwd", "arguments": map[string]any{
		"proto": f.Protocol, "host_addr": f.Bind.String(), "host_port": f.Host, "guest_port": f.Sandbox,
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
