package spec

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SyntaxError is a mistake at one place of a JSON file.
type SyntaxError struct {
	File         string
	Line, Column int    // from 1; the column counts characters
	Field        string // such as mounts[2].type; "" when the place is outside of any field
	Reason       string
	// Spot is the line of the file and below it a caret under the place: two lines, without a newline at the end.
	Spot string

	excerpt string // a piece of the line in one line, with an arrow in front of the place
}

// Error is one line: file, line, column, field, reason and a piece of the file with an arrow in front of the place.
func (e *SyntaxError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Reason)
	if e.excerpt != "" {
		b.WriteString(", at: " + e.excerpt)
	}
	return b.String()
}

// Widths of the excerpt, in characters: what is shown before and behind the place.
const (
	charsBefore = 30
	charsBehind = 20
)

// ErrorAt is the error for the byte of data at offset at, which may be len(data): for callers that find mistakes of their own.
func ErrorAt(file string, data []byte, at int, field, reason string) *SyntaxError {
	return newSyntaxError(file, data, at, field, reason)
}

// newSyntaxError makes the error for the byte at offset at, which may be len(data).
func newSyntaxError(name string, data []byte, at int, field, reason string) *SyntaxError {
	at = max(0, min(at, len(data)))
	start := bytes.LastIndexByte(data[:at], '\n') + 1
	end := len(data)
	if n := bytes.IndexByte(data[at:], '\n'); n >= 0 {
		end = at + n
	}
	before, behind := data[start:at], bytes.TrimRight(data[at:end], "\r\n")
	e := &SyntaxError{
		File: name, Field: printable(field, 200), Reason: reason,
		Line:   bytes.Count(data[:at], []byte{'\n'}) + 1,
		Column: utf8.RuneCount(before) + 1,
	}
	left := strings.TrimLeft(lastRunes(before, charsBefore), " ")
	right := printable(string(behind), charsBehind)
	switch {
	case right == "" && at == len(data):
		right = "(end of file)"
	case right == "":
		right = "(end of line)"
	}
	if len(bytes.TrimSpace(data)) > 0 {
		e.excerpt = strings.TrimSpace(left + " --> " + right)
	}
	e.Spot = spot(before, behind)
	return e
}

// spotBefore and spotBehind bound the line of Spot, in characters: a minified file is one long line.
const (
	spotBefore = 70
	spotBehind = 40
)

func spot(before, behind []byte) string {
	left := lastRunes(before, spotBefore)
	return left + printable(string(behind), spotBehind) + "\n" + strings.Repeat(" ", utf8.RuneCountInString(left)) + "^"
}

// lastRunes returns the last n characters of a line, made printable.
func lastRunes(line []byte, n int) string {
	text := printable(string(line), 0)
	if runes := []rune(text); len(runes) > n {
		return "..." + string(runes[len(runes)-n:])
	}
	return text
}

// printable replaces what could break a line or move a terminal's cursor, and shortens the text to at most limit characters; 0 is
// no limit.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r) || r == utf8.RuneError:
			return '?'
		}
		return r
	}, text)
	if runes := []rune(text); limit > 0 && len(runes) > limit {
		return string(runes[:limit]) + "..."
	}
	return text
}

// quoted quotes a value of a configuration for an error, shortened when it is long.
func quoted[T ~string](value T) string {
	const limit = 100
	if s := string(value); len(s) > limit {
		return fmt.Sprintf("%q...", s[:limit])
	}
	return fmt.Sprintf("%q", string(value))
}
