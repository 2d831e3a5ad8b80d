package spec

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// scanner walks over JSON text beside its Go type and stops at the place that an error is about: at a syntax error, at the value
// that ends at a given offset, or at an unknown field. encoding/json knows only offsets of the first two, without the path, and
// nothing of the third. It runs after encoding/json has accepted the text or has said what is wrong with it, so it is lenient.
type scanner struct {
	data []byte
	pos  int      // where it is and, when stopped, the place
	path []string // ".name" and "[3]"
	stop bool

	find  int // stop at the value that an UnmarshalTypeError with this offset is about; 0 is none
	found bool

	strict    bool // stop at a field that its struct does not have
	isUnknown bool // it did so, at the field unknown
	unknown   string
	known     []string // the fields that the struct has
}

// fieldPath is the path of the place, such as linux.namespaces[1].type.
func (s *scanner) fieldPath() string {
	return strings.TrimPrefix(strings.Join(s.path, ""), ".")
}

func (s *scanner) space() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// value walks over one value; t is its type, nil when that is not known.
func (s *scanner) value(t reflect.Type) {
	t = settle(t)
	var start int
	switch c := s.space(); c {
	case '{', '[':
		start = s.pos
		// The offset of a type error of a container is behind its bracket.
		if s.pos++; s.find == s.pos {
			s.halt(start)
			return
		}
		if c == '{' {
			s.object(t)
		} else {
			s.array(t)
		}
	case '"':
		start = s.pos
		s.text()
		s.checkFound(start)
	default:
		start = s.pos
		s.word()
		s.checkFound(start)
	}
}

func (s *scanner) checkFound(start int) {
	if !s.stop && s.find > start && s.find <= s.pos {
		s.halt(start)
	}
}

func (s *scanner) halt(at int) {
	s.pos, s.stop, s.found = at, true, true
}

// word walks over a number, true, false or null; what is none of them stops the scanner.
func (s *scanner) word() {
	start := s.pos
	for s.pos < len(s.data) && strings.IndexByte("+-.0123456789abcdefghijklmnopqrstuvwxyzE", s.data[s.pos]) >= 0 {
		s.pos++
	}
	if !json.Valid(s.data[start:s.pos]) {
		s.stop = true
	}
}

// text walks over a string and returns it decoded.
func (s *scanner) text() string {
	start := s.pos
	for s.pos++; s.pos < len(s.data); s.pos++ {
		switch s.data[s.pos] {
		case '\\':
			s.pos++
		case '"':
			s.pos++
			var out string
			if json.Unmarshal(s.data[start:s.pos], &out) != nil {
				s.stop = true
			}
			return out
		}
	}
	s.pos, s.stop = len(s.data), true
	return ""
}

func (s *scanner) object(t reflect.Type) {
	if s.space() == '}' {
		s.pos++
		return
	}
	for {
		if s.space() != '"' {
			s.stop = true
			return
		}
		start := s.pos
		key := s.text()
		if s.stop {
			return
		}
		element, known := s.field(t, key)
		if s.strict && !known {
			s.pos, s.stop, s.isUnknown, s.unknown = start, true, true, key
			return
		}
		s.path = append(s.path, "."+key)
		if s.space() != ':' {
			s.stop = true
			return
		}
		s.pos++
		if s.value(element); s.stop || s.next('}') {
			return
		}
	}
}

func (s *scanner) array(t reflect.Type) {
	var element reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		element = t.Elem()
	}
	if s.space() == ']' {
		s.pos++
		return
	}
	for i := 0; ; i++ {
		s.path = append(s.path, fmt.Sprintf("[%d]", i))
		if s.value(element); s.stop || s.next(']') {
			return
		}
	}
}

// next goes on behind an element of an object or list, and tells whether that ends.
func (s *scanner) next(closing byte) bool {
	switch s.space() {
	case ',':
		s.path = s.path[:len(s.path)-1]
		s.pos++
		return false
	case closing:
		s.path = s.path[:len(s.path)-1]
		s.pos++
		return true
	default:
		s.stop = true
		return true
	}
}

// field returns the type of the field key of t, and whether t has it.
func (s *scanner) field(t reflect.Type, key string) (reflect.Type, bool) {
	switch {
	case t == nil:
		return nil, true
	case t.Kind() == reflect.Map:
		return t.Elem(), true
	case t.Kind() != reflect.Struct:
		return nil, true
	}
	s.known = s.known[:0]
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || f.Anonymous && name == "" || name == "-":
			continue
		case name == "":
			name = f.Name
		}
		if name == key {
			return f.Type, true
		}
		s.known = append(s.known, name)
	}
	return nil, false
}

// settle follows pointers, and gives up on types that decode themselves.
func settle(t reflect.Type) reflect.Type {
	for t != nil {
		if t.Implements(unmarshaler) || reflect.PointerTo(t).Implements(unmarshaler) {
			return nil
		}
		if t.Kind() != reflect.Pointer {
			return t
		}
		t = t.Elem()
	}
	return nil
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()
