package shim

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// loggerPatience is how long a logger may take to say that it is ready.
const loggerPatience = 30 * time.Second

// isLogger reports whether output goes to a program.
func isLogger(target string) bool { return strings.HasPrefix(target, "binary:") }

// A logger is a program that gets a container's output (URI binary://PATH?KEY=VALUE...): as its descriptors 3 and 4; it closes its
// descriptor 5 when it is ready. It ends when nobody holds the other ends any more.
type logger struct {
	inputs [2]*os.File // the ends for the container's stdout and stderr
}

func (s *service) startLogger(id string, o stdio) (*logger, error) {
	cmd, err := loggerCommand(o.stdout)
	if err != nil {
		return nil, err
	}
	cmd.Env = []string{"CONTAINER_ID=" + id, "CONTAINER_NAMESPACE=" + s.namespace}
	l := &logger{}
	defer closeAll(&cmd.ExtraFiles) // the logger's ends
	for i := range l.inputs {
		// The container writes to it itself, and expects to wait when the logger is slow.
		r, w, err := pipe(o, neither)
		if err != nil {
			l.closeInputs()
			return nil, err
		}
		l.inputs[i], cmd.ExtraFiles = w, append(cmd.ExtraFiles, r)
	}
	ready, w, err := os.Pipe()
	if err != nil {
		l.closeInputs()
		return nil, err
	}
	defer ready.Close()
	cmd.ExtraFiles = append(cmd.ExtraFiles, w)
	if err := s.runLogger(cmd); err != nil {
		l.closeInputs()
		return nil, fmt.Errorf("starting the logger: %w", err)
	}
	closeAll(&cmd.ExtraFiles)
	_ = ready.SetReadDeadline(time.Now().Add(loggerPatience))
	if _, err := ready.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
		l.closeInputs()
		return nil, fmt.Errorf("waiting for the logger %s to get ready: %w", cmd.Path, err)
	}
	return l, nil
}

// runLogger starts the program and reaps it when it has ended.
func (s *service) runLogger(cmd *exec.Cmd) error {
	defer s.reaper.begin()()
	if err := cmd.Start(); err != nil {
		return err
	}
	c, err := s.reaper.adopt(cmd.Process.Pid)
	if err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	go c.wait()
	return cmd.Process.Release()
}

// loggerCommand makes arguments of the URI's query: each key, and its value behind it.
func loggerCommand(target string) (*exec.Cmd, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("URI %q: %w", target, err)
	}
	var args []string
	query := u.Query()
	keys := make([]string, 0, len(query))
	for key := range query {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		args = append(args, key)
		if value := query.Get(key); value != "" {
			args = append(args, value)
		}
	}
	return exec.Command(u.Path, args...), nil
}

// takeInput is the end for stdout, for a terminal that is copied to it.
func (l *logger) takeInput() *os.File {
	f := l.inputs[0]
	l.inputs[0] = nil
	return f
}

func (l *logger) closeInputs() {
	for i, f := range l.inputs {
		if f != nil {
			f.Close()
			l.inputs[i] = nil
		}
	}
}

func closeAll(files *[]*os.File) {
	for _, f := range *files {
		f.Close()
	}
	*files = nil
}
