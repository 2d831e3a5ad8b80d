package network

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// helperTime bounds the start of a helper.
const helperTime = 10 * time.Second

// startPasta returns when pasta(1) has configured the sandbox's end and gone to the background. Without its loopback mapping the sandbox
// would not reach servers on the host's loopback interface: it is to be no way around what only the host may see.
func startPasta(program string, c Config, net subnet) error {
	args := []string{
		"--config-net", "--quiet", "--ipv4-only", "--no-map-gw", "--ns-ifname", insideName,
		"--address", net.sandbox().String(), "--netmask", strconv.Itoa(net.Bits()), "--gateway", net.host().String(),
		"--tcp-ns", "none", "--udp-ns", "none",
		"--pid", helperFile(c.StateDir, c.ID),
		"--userns", fmt.Sprintf("/proc/%d/ns/user", c.Pid), "--netns", fmt.Sprintf("/proc/%d/ns/net", c.Pid),
	}
	args = append(args, pastaPorts("--tcp-ports", "tcp", c.Forwards)...)
	args = append(args, pastaPorts("--udp-ports", "udp", c.Forwards)...)
	cmd := exec.Command(program, args...)
	var output bytes.Buffer
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.Stdout, cmd.Stderr = &output, &output
	// It keeps its standard streams open in the background.
	cmd.WaitDelay = time.Millisecond
	timer := time.AfterFunc(helperTime, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 0 {
		return fmt.Errorf("%s: %w: %s", program, err, lastWords(output.String()))
	}
	return nil
}

// pastaPorts are the flags of one protocol; without any, pasta would forward all ports that the sandbox listens on.
func pastaPorts(flag, protocol string, forwards []Forward) []string {
	var args []string
	for _, f := range forwards {
		if f.Protocol != protocol {
			continue
		}
		spec := fmt.Sprintf("%d:%d", f.Host, f.Sandbox)
		if !f.Bind.IsUnspecified() {
			spec = f.Bind.String() + "/" + spec
		}
		args = append(args, flag, spec)
	}
	if args == nil {
		return []string{flag, "none"}
	}
	return args
}

// lastWords is what a program said, on one line.
func lastWords(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}
