// Package oneshot is encoding/json for programs that meet each type once. encoding/json first prepares a type, all that it refers to
// included, and decodes fast from then on; a command of zbox decodes one configuration and ends, and would spend a tenth of its time on
// preparing. This package looks up a struct's fields when it meets the struct.
//
// It takes the plain cases only and never decides what is an error: where it is not sure that encoding/json would do the same, it
// leaves it to encoding/json.
package oneshot

import (
	"encoding/json"
	"reflect"
	"strconv"
	"unicode/utf8"
)

// maxDepth bounds the recursion; encoding/json has a limit of its own behind it.
const maxDepth = 64

// Unmarshal is json.Unmarshal: the same values and errors.
func Unmarshal(data []byte, v any) error {
	if TryUnmarshal(data, v, false) {
		return nil
	}
	return json.Unmarshal(data, v)
}

// TryUnmarshal decodes data, one JSON value, into what the pointer v points to, as json.Unmarshal does. false means that it could not:
// broken JSON, a value of another type, a name given twice or in another case than the field's, or something rare. *v is as it was then.
// With strict, a field that its struct does not have is a reason, too.
func TryUnmarshal(data []byte, v any, strict bool) bool {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return false
	}
	target = target.Elem()
	before := reflect.New(target.Type()).Elem()
	before.Set(target)
	d := decoder{data: data, strict: strict}
	if d.value(target, 0) && d.space() == 0 && d.pos == len(d.data) {
		return true
	}
	target.Set(before)
	return false
}

type decoder struct {
	data   []byte
	pos    int
	strict bool
}

// space skips white space and returns the byte behind it, 0 at the end.
func (d *decoder) space() byte {
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; c {
		case ' ', '\t', '\r', '\n':
			d.pos++
		default:
			return c
		}
	}
	return 0
}

// value decodes one value into v.
func (d *decoder) value(v reflect.Value, depth int) bool {
	if depth > maxDepth {
		return false
	}
	c := d.space()
	if c == 'n' {
		// null leaves everything but these as it is (json.Unmarshal).
		switch v.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
			v.SetZero()
		case reflect.Struct:
			if fieldsOf(v.Type()).custom {
				return false
			}
		default:
		}
		return d.word("null")
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.value(v.Elem(), depth)
	case reflect.Struct:
		return d.object(v, depth)
	case reflect.Map:
		return c == '{' && d.mapObject(v, depth)
	case reflect.Slice:
		return c == '[' && v.Len() == 0 && d.slice(v, depth)
	case reflect.String:
		s, ok := d.text(c)
		v.SetString(s)
		return ok
	case reflect.Bool:
		v.SetBool(c == 't')
		return c == 't' && d.word("true") || c == 'f' && d.word("false")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(d.number(), 10, v.Type().Bits())
		v.SetInt(n)
		return err == nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(d.number(), 10, v.Type().Bits())
		v.SetUint(n)
		return err == nil
	default:
		return false
	}
}

func (d *decoder) word(w string) bool {
	if len(d.data)-d.pos < len(w) || string(d.data[d.pos:d.pos+len(w)]) != w {
		return false
	}
	d.pos += len(w)
	return true
}

// number takes a number in JSON's grammar (RFC 8259, 6) and returns "" when there is none.
func (d *decoder) number() string {
	start := d.pos
	if d.at('-') {
		d.pos++
	}
	switch {
	case d.at('0'):
		d.pos++
	case d.digits() == 0:
		return ""
	}
	if d.at('.') {
		d.pos++
		if d.digits() == 0 {
			return ""
		}
	}
	if d.at('e') || d.at('E') {
		d.pos++
		if d.at('+') || d.at('-') {
			d.pos++
		}
		if d.digits() == 0 {
			return ""
		}
	}
	return string(d.data[start:d.pos])
}

func (d *decoder) at(c byte) bool { return d.pos < len(d.data) && d.data[d.pos] == c }

// digits skips decimal digits and returns how many.
func (d *decoder) digits() int {
	start := d.pos
	for d.pos < len(d.data) && d.data[d.pos] >= '0' && d.data[d.pos] <= '9' {
		d.pos++
	}
	return d.pos - start
}

// text takes a string; c is its first byte.
func (d *decoder) text(c byte) (string, bool) {
	if c != '"' {
		return "", false
	}
	start := d.pos
	plain := true
	for d.pos++; d.pos < len(d.data); d.pos++ {
		switch c := d.data[d.pos]; {
		case c == '"':
			d.pos++
			if plain {
				return string(d.data[start+1 : d.pos-1]), true
			}
			var s string
			err := json.Unmarshal(d.data[start:d.pos], &s)
			return s, err == nil
		case c == '\\':
			plain = false
			d.pos++
		case c < ' ':
			return "", false
		case c >= utf8.RuneSelf:
			plain = false // encoding/json replaces what is not UTF-8
		}
	}
	return "", false
}

// members goes through an object whose brace comes next, and calls member for each name, with the value coming next.
func (d *decoder) members(member func(name string) bool) bool {
	if d.space() != '{' {
		return false
	}
	d.pos++
	if d.space() == '}' {
		d.pos++
		return true
	}
	for {
		name, ok := d.text(d.space())
		if !ok || d.space() != ':' {
			return false
		}
		d.pos++
		if !member(name) {
			return false
		}
		if more, ok := d.more('}'); !more {
			return ok
		}
	}
}

// more goes on behind an element: to the next one, or past the closing bracket.
func (d *decoder) more(closing byte) (more, ok bool) {
	c := d.space()
	d.pos++
	return c == ',', c == ',' || c == closing
}

func (d *decoder) object(v reflect.Value, depth int) bool {
	fields := fieldsOf(v.Type())
	if fields.custom {
		start := d.pos
		return d.skip(depth) && json.Unmarshal(d.data[start:d.pos], v.Addr().Interface()) == nil
	}
	var seen uint64
	return d.members(func(name string) bool {
		i := fields.find(name)
		if i < 0 {
			return !d.strict && !fields.hasInOtherCase(name) && d.skip(depth+1)
		}
		// Of two members with one name encoding/json takes parts of both.
		if i >= 64 || seen&(1<<i) != 0 {
			return false
		}
		seen |= 1 << i
		return d.value(v.FieldByIndex(fields.list[i].index), depth+1)
	})
}

func (d *decoder) mapObject(v reflect.Value, depth int) bool {
	t := v.Type()
	if t.Key().Kind() != reflect.String || t.Key().NumMethod() != 0 {
		return false
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(t))
	}
	return d.members(func(name string) bool {
		key := reflect.ValueOf(name).Convert(t.Key())
		element := reflect.New(t.Elem()).Elem()
		if v.MapIndex(key).IsValid() || !d.value(element, depth+1) {
			return false
		}
		v.SetMapIndex(key, element)
		return true
	})
}

func (d *decoder) slice(v reflect.Value, depth int) bool {
	t := v.Type()
	if t.Elem().Kind() == reflect.Uint8 { // base64
		return false
	}
	d.pos++
	if d.space() == ']' {
		d.pos++
		v.Set(reflect.MakeSlice(t, 0, 0))
		return true
	}
	for {
		if v.Len() == v.Cap() {
			v.Grow(max(4, v.Len()))
		}
		v.SetLen(v.Len() + 1)
		if !d.value(v.Index(v.Len()-1), depth+1) {
			return false
		}
		if more, ok := d.more(']'); !more {
			return ok
		}
	}
}

// skip goes past a value that nobody wants, and makes sure that it is one.
func (d *decoder) skip(depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch c := d.space(); c {
	case '{':
		return d.members(func(string) bool { return d.skip(depth + 1) })
	case '[':
		d.pos++
		if d.space() == ']' {
			d.pos++
			return true
		}
		for {
			if !d.skip(depth + 1) {
				return false
			}
			if more, ok := d.more(']'); !more {
				return ok
			}
		}
	case '"':
		_, ok := d.text(c)
		return ok
	case 't':
		return d.word("true")
	case 'f':
		return d.word("false")
	case 'n':
		return d.word("null")
	default:
		return d.number() != ""
	}
}
