package libzbox

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// killTree kills a process with all its descendants, among them what a hook left in the background. All are stopped first: a process
// that still forks, or that takes its parent's end for its own, would hide its children.
func (p processID) killTree() error {
	below := p.stopTree()
	err := p.signal(unix.SIGKILL)
	for _, d := range below {
		_ = d.signal(unix.SIGKILL) // that it has ended meanwhile is what is wanted
	}
	return err
}

// stopTree stops the process and returns its descendants, stopped.
func (p processID) stopTree() []processID {
	if p.signal(unix.SIGSTOP) != nil {
		return nil
	}
	var below []processID
	for _, child := range p.children() {
		below = append(append(below, child), child.stopTree()...)
	}
	return below
}

// children are the living child processes (proc_pid_task(5), "children").
func (p processID) children() []processID {
	var all []processID
	lists, _ := filepath.Glob("/proc/" + strconv.Itoa(p.Pid) + "/task/*/children")
	for _, list := range lists {
		text, _ := os.ReadFile(list) // the thread may have ended
		for field := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				continue
			}
			if child, err := identify(pid); err == nil {
				all = append(all, child)
			}
		}
	}
	return all
}
