package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
)

// The log levels, in the order of --log-level.
const (
	levelError = iota
	levelWarning
	levelInfo
	levelDebug
)

var levelNames = []string{"error", "warning", "info", "debug"}

// report is where zbox says what went wrong.
//
// An error is one line on stderr and one record in --log. A warning is one line on stderr and no record: podman decodes the whole log
// as one JSON object when a command fails. Debug records (--debug) go to the log, or to stderr without one.
type report struct {
	stderr io.Writer
	log    io.Writer // nil without --log
	json   bool
	level  int
	now    func() time.Time
}

// newReport opens what the global flags ask for. The report is usable even with an error.
func newReport(inv invocation, stderr io.Writer) (*report, error) {
	r := &report{stderr: stderr, level: levelWarning, now: time.Now}
	switch format, _ := inv.global("log-format"); format {
	case "", "text":
	case "json":
		r.json = true
	default:
		return r, fmt.Errorf("--log-format: %q is not text or json", format)
	}
	// The log comes before the other checks, so that their errors are in it.
	var err error
	if path, _ := inv.global("log"); path != "" {
		r.log, err = openLog(path)
	}
	if err == nil {
		r.level, err = logLevel(inv)
	}
	return r, err
}

// openLog opens a log file for appending. Symbolic links are followed: /dev/stderr is one.
func openLog(destination string) (io.Writer, error) {
	path, isFile := strings.CutPrefix(destination, "file:")
	if scheme, _, found := strings.Cut(destination, ":"); found && !isFile && (scheme == "journald" || scheme == "syslog") {
		return nil, fmt.Errorf("--log: %s is not supported; give a file", scheme)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening --log: %w", err)
	}
	return f, nil
}

func logLevel(inv invocation) (int, error) {
	if debug, _ := inv.global("debug"); debug == "true" || debug == "1" {
		return levelDebug, nil
	}
	name, given := inv.global("log-level")
	if !given {
		return levelWarning, nil
	}
	if strings.EqualFold(name, "warn") {
		name = "warning"
	}
	for level, n := range levelNames {
		if strings.EqualFold(n, name) {
			return level, nil
		}
	}
	return levelWarning, fmt.Errorf("--log-level: %q is not error, warning, info or debug", name)
}

// error reports why a command failed. subject is "COMMAND ID" and may be empty.
func (r *report) error(subject string, err error) {
	line := oneLine(err.Error())
	if subject != "" {
		line = oneLine(subject) + ": " + line
	}
	if werr := r.record(levelError, line); werr != nil {
		line += fmt.Sprintf(" (and writing --log: %v)", werr)
	}
	fmt.Fprintf(r.stderr, "zbox: %s\n", line)
}

// warn reports something that was asked for and is not done.
func (r *report) warn(line string) {
	if r.level >= levelWarning {
		fmt.Fprintf(r.stderr, "zbox: warning: %s\n", oneLine(line))
	}
}

func (r *report) debug(line string) {
	if r.level < levelDebug {
		return
	}
	if r.log == nil {
		fmt.Fprintf(r.stderr, "zbox: debug: %s\n", oneLine(line))
		return
	}
	if err := r.record(levelDebug, oneLine(line)); err != nil {
		r.warn(fmt.Sprintf("writing --log: %v", err))
	}
}

// record appends one record to the log, in one write: several zbox may share the file. containerd wants RFC3339 times.
func (r *report) record(level int, message string) error {
	if r.log == nil {
		return nil
	}
	now := r.now().UTC().Format(time.RFC3339)
	line := fmt.Sprintf("time=%q level=%s msg=%q\n", now, levelNames[level], message)
	if r.json {
		data, err := json.Marshal(struct {
			Level string `json:"level"`
			Msg   string `json:"msg"`
			Time  string `json:"time"`
		}{levelNames[level], message, now})
		if err != nil {
			return err
		}
		line = string(data) + "\n"
	}
	_, err := io.WriteString(r.log, line)
	return err
}

// oneLine keeps line breaks and terminal escapes of file names and of a container's answers out of the caller's terminal.
func oneLine(s string) string {
	var b strings.Builder
	for _, c := range strings.TrimRight(s, "\n") {
		switch {
		case c == '\n':
			b.WriteString(`\n`)
		case unicode.IsPrint(c):
			b.WriteRune(c)
		default:
			b.WriteString(strings.Trim(fmt.Sprintf("%q", c), "'"))
		}
	}
	return b.String()
}
