package network

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// helperTime bounds the start of a helper, also on a busy machine.
const helperTime = 30 * time.Second

// startPasta returns when pasta(1) has configured the sandbox's end and gone to the background. Without its loopback mapping the sandbox
// would not reach servers on the host's loopback interface: it is to be no way around what only the host may see.
//
// Debian's AppArmor profile lets pasta neither look at processes of others (a ptrace rule is missing) nor write a pid file where zbox keeps
// its state. So it is handed the namespaces as standard input and output (it closes what lies above), and is marked by its argv[0], whose
// last element must hold "pasta": that is how it knows that it is not to be passt.
func startPasta(program string, c Config, net subnet) error {
	user, network, err := openNamespaces(c.Pid)
	if err != nil {
		return err
	}
	defer user.Close()
	defer network.Close()
	args := []string{
		"--config-net", "--quiet", "--ipv4-only", "--no-map-gw", "--ns-ifname", insideName,
		"--address", net.sandbox().String(), "--netmask", strconv.Itoa(net.Bits()), "--gateway", net.host().String(),
		"--tcp-ns", "none", "--udp-ns", "none",
		// Or else pasta would learn it from the first packet that comes out, and nothing would come in before.
		"--ns-mac-addr", insideAddress,
		"--userns", "/proc/self/fd/0", "--netns", "/proc/self/fd/1",
	}
	args = append(args, pastaPorts("--tcp-ports", "tcp", c.Forwards)...)
	args = append(args, pastaPorts("--udp-ports", "udp", c.Forwards)...)
	cmd := exec.Command(program, args...)
	cmd.Args[0] = helperFile(c.StateDir, c.ID) + pastaMark
	words, said, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	defer words.Close()
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = user, network, said
	err = cmd.Start()
	said.Close()
	if err != nil {
		return fmt.Errorf("starting %s: %w", program, err)
	}
	timer := time.AfterFunc(helperTime, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		output := lastOutput(words)
		return fmt.Errorf("%s: %w: %s%s", program, err, lastWords(output), pastaRemedy(output))
	}
	return nil
}

// lastOutput is what a program that has failed has written to a pipe, which holds it all. One that was killed may have left a process in
// the background, with the pipe open.
func lastOutput(pipe *os.File) string {
	_ = pipe.SetReadDeadline(time.Now().Add(time.Second))
	text, _ := io.ReadAll(pipe)
	return string(text)
}

// insideOfPasta: over UDP, Debian 12's pasta loses the answers to clients at the host's 127.0.0.1 where the port inside has another number than
// that of the host. So it is always told the same, and the port is changed inside.
func insideOfPasta(c Config, net subnet) (inside, error) {
	return inside{Shut: !c.Access, Moved: moved(c.Forwards), Address: net.sandbox(), Local: true}, nil
}

// insideAddress is a link address for local use (IEEE 802, c. 8.4); nobody but pasta is at the other end.
const insideAddress = "02:00:00:00:00:01"

// pastaMark makes a helperFile the argv[0] of pasta.
const pastaMark = ".pasta"

// pastaProfile is AppArmor's profile of passt and pasta on Debian and Ubuntu. Tests change it.
var pastaProfile = "/etc/apparmor.d/usr.bin.passt"

// pastaRemedy is what an administrator can do about a pasta that may not do its work.
func pastaRemedy(output string) string {
	if !strings.Contains(output, "ermission denied") {
		return ""
	}
	if _, err := os.Stat(pastaProfile); err != nil {
		return ""
	}
	return "; AppArmor's profile of passt may forbid it: as root, run `apparmor_parser -R " + pastaProfile + "`, or use slirp4netns instead of passt"
}

// openNamespaces opens the user and the network namespace of a process.
func openNamespaces(pid int) (user, network *os.File, err error) {
	user, err = os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	if err == nil {
		network, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	}
	if err != nil {
		if user != nil {
			err = errors.Join(err, user.Close())
		}
		return nil, nil, fmt.Errorf("opening the sandbox's namespaces: %w", err)
	}
	return user, network, nil
}

// pastaPorts are the flags of one protocol; without any, pasta would forward all ports that the sandbox listens on.
func pastaPorts(flag, protocol string, forwards []Forward) []string {
	var args []string
	for _, f := range forwards {
		if f.Protocol != protocol {
			continue
		}
		spec := fmt.Sprintf("%d:%d", f.Host, f.Sandbox)
		if protocol == "udp" { // see insideOfPasta
			spec = strconv.Itoa(int(f.Host))
		}
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
