// Package plan is the step language between zbox (Go, policy) and the stage (C, execution).
//
// A plan is a flat, ordered list of typed steps. Most steps are executed by the stage inside the new
// namespaces; the others are host steps, executed by libzbox in the host's world. Both kinds share one
// numbering, so that "step 23 of 61" means the same thing in `zbox explain`, in an error and in a test.
package plan

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Plan is a compiled container: what will be done, in which order, and which JSON field asked for it.
type Plan struct {
	Steps []Step
	// Origins[i] is the JSON path that asked for Steps[i], such as "mounts[3]" or "process.user". It is
	// "default" for a step that no field asked for.
	Origins []string
	// Preserve is the number of descriptors from 3 on that the user's process keeps (--preserve-fds plus LISTEN_FDS).
	Preserve int
}

// A Step is one action. StageStep and HostStep say who executes it.
type Step interface {
	// Name is the step's stable identifier in snake case, such as "pivot_root".
	Name() string
	// Text says what the step does, in plain words and on one line.
	Text() string
}

// A StageStep is executed by the C stage. Its exported fields are its wire format; see encode.go for the
// field types that are allowed.
type StageStep interface {
	Step
	stage() uint32 // the op code
}

// A HostStep is executed by libzbox, outside the container. A run of host steps after the clone step is
// preceded by a Sync step: the stage waits there until the host steps are done.
type HostStep interface {
	Step
	host()
}

// Omitted is a step of create that run does without. Nobody executes it: it keeps the numbers of the steps behind it those of
// `zbox explain`.
type Omitted struct{ Step }

// FD is an index into the descriptors that host steps opened before the stage was started (OpenTree,
// OpenNamespace and the others that document "hands over"); NoFD means none.
type FD int32

// NoFD is the absent descriptor.
const NoFD FD = -1

// Add appends a step with the JSON field that asked for it.
func (p *Plan) Add(origin string, s Step) {
	if _, isHost := s.(HostStep); isHost && p.cloned() && !p.inHostRun() {
		p.append(origin, &Sync{})
	}
	p.append(origin, s)
}

func (p *Plan) append(origin string, s Step) {
	if origin == "" {
		origin = "default"
	}
	p.Steps = append(p.Steps, s)
	p.Origins = append(p.Origins, origin)
}

// First is the number of the plan's first step of type S (counted from 1), or 0.
func First[S Step](p *Plan) int {
	for i, s := range p.Steps {
		if _, ok := s.(S); ok {
			return i + 1
		}
	}
	return 0
}

// cloned reports whether the stage runs already, so that a host step needs a synchronisation point.
func (p *Plan) cloned() bool { return First[*Clone](p) > 0 }

// inHostRun reports whether the last step already is a sync or a host step behind one.
func (p *Plan) inHostRun() bool {
	if len(p.Steps) == 0 {
		return false
	}
	switch p.Steps[len(p.Steps)-1].(type) {
	case *Sync, HostStep:
		return true
	}
	return false
}

// Origin returns the JSON field of step number n (counted from 1), or "".
func (p *Plan) Origin(n int) string {
	if n < 1 || n > len(p.Origins) {
		return ""
	}
	return p.Origins[n-1]
}

// String is the plan as text, one step per line: number, executor, name, words, origin. Golden tests and
// `zbox explain` print it.
func (p *Plan) String() string {
	var b strings.Builder
	for i, s := range p.Steps {
		where := "stage"
		switch s.(type) {
		case HostStep:
			where = "host"
		case *Omitted:
			where = "none"
		}
		fmt.Fprintf(&b, "%3d  %-5s  %-14s  %s  [%s]\n", i+1, where, s.Name(), oneLine(s.Text()), oneLine(p.Origins[i]))
	}
	return b.String()
}

// oneLine escapes what would end the line or steer a terminal.
func oneLine(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if strconv.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			b.WriteString(text[:size])
		} else {
			b.WriteString(strings.Trim(strconv.Quote(text[:size]), `"`))
		}
		text = text[size:]
	}
	return b.String()
}
