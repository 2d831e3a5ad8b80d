package translate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bxrne/zbox/spec"
)

// decode fills c from data, JSON text, and sets what is absent to its default. Broken JSON, values of another type or outside their
// range, fields that do not exist, that are missing and that are given twice are errors, each with its place.
func decode(c *Config, data []byte) error {
	// encoding/json would put U+FFFD in place of what is none.
	if at := firstInvalid(data); at >= 0 && !bytes.HasPrefix(data, []byte("\xff\xfe")) && !bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return spec.ErrorAt(c.file, data, at, "", fmt.Sprintf("no UTF-8: byte %#x", data[at]))
	}
	// The walk below can then rely on the syntax.
	if err := spec.Decode(c.file, data, new(json.RawMessage), spec.DecodeOptions{}); err != nil {
		return err
	}
	c.data, c.places = data, map[string]int{}
	d := &decoder{config: c, data: data, tokens: json.NewDecoder(bytes.NewReader(data))}
	d.tokens.UseNumber()
	token, at := d.next()
	if token != json.Delim('{') {
		return d.errorAt("", at, "an object is needed, not "+valueWords(token))
	}
	return d.object(reflect.ValueOf(c).Elem(), "", at)
}

// decoder walks over valid JSON beside the Go value that it fills.
type decoder struct {
	config *Config
	data   []byte
	tokens *json.Decoder
}

// next is the next token and the offset where it starts.
func (d *decoder) next() (json.Token, int) {
	at := int(d.tokens.InputOffset())
	for at < len(d.data) && bytes.IndexByte([]byte(" \t\r\n,:"), d.data[at]) >= 0 {
		at++
	}
	token, err := d.tokens.Token()
	if err != nil {
		panic(fmt.Sprintf("translate: text that was valid JSON is not: %v", err))
	}
	return token, at
}

func (d *decoder) errorAt(field string, at int, reason string) error {
	return spec.ErrorAt(d.config.file, d.data, at, field, reason)
}

// firstInvalid is the offset of the first byte that is no UTF-8, or -1.
func firstInvalid(data []byte) int {
	for at := 0; !utf8.Valid(data[at:]); {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// halfCharacter reports a string with an escape such as \ud800, for which encoding/json puts U+FFFD.
func (d *decoder) halfCharacter(token json.Token, at int) string {
	text, ok := token.(string)
	written := d.data[at:d.tokens.InputOffset()]
	if !ok || strings.Count(text, "\ufffd") <= bytes.Count(written, []byte("\ufffd"))+bytes.Count(bytes.ToLower(written), []byte(`\ufffd`)) {
		return ""
	}
	return "no character: half of a surrogate pair"
}

// object fills the struct v behind an opening brace, which is at offset at. path is that of the object.
func (d *decoder) object(v reflect.Value, path string, at int) error {
	seen := make([]bool, v.NumField())
	dot := path
	if path != "" {
		dot += "."
	}
	for {
		token, keyAt := d.next()
		name, isKey := token.(string)
		if !isKey { // the closing brace
			return d.absent(v, seen, dot, at)
		}
		i := fieldNamed(v.Type(), name)
		switch {
		case i < 0:
			return d.errorAt(path, keyAt, unknownField(v.Type(), name))
		case seen[i]:
			return d.errorAt(dot+name, keyAt, "given twice")
		}
		given, err := d.value(v.Field(i), fieldOf(v.Type().Field(i)), dot+name)
		if err != nil {
			return err
		}
		seen[i] = given
	}
}

// absent sets the fields that were not given to their defaults, or reports the first that is needed.
func (d *decoder) absent(v reflect.Value, seen []bool, dot string, at int) error {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		if seen[i] || !sf.IsExported() {
			continue
		}
		if sf.Tag.Get("need") == "yes" {
			f := fieldOf(sf)
			return d.errorAt(dot+f.Name, at, "missing; it is "+f.needs())
		}
		setDefault(v.Field(i), sf)
	}
	return nil
}

// setDefault panics on a default that is no JSON of the field's type: that is a mistake in this package.
func setDefault(v reflect.Value, sf reflect.StructField) {
	text := sf.Tag.Get("default")
	var err error
	switch {
	case text == "":
	case v.Kind() == reflect.Int64:
		var n int64
		n, err = strconv.ParseInt(text, 10, 64)
		v.SetInt(n)
	case v.Kind() == reflect.Bool:
		v.SetBool(text == "true")
	case text[0] == '"':
		v.SetString(text[1 : len(text)-1])
	default:
		err = json.Unmarshal([]byte(text), v.Addr().Interface())
	}
	if err != nil {
		panic(fmt.Sprintf("field %s: default %s: %v", sf.Name, text, err))
	}
}

// value reads one value into v. given is false for null, which stands for absent.
func (d *decoder) value(v reflect.Value, f Field, path string) (given bool, err error) {
	token, at := d.next()
	if token == nil {
		return false, nil
	}
	d.config.places[path] = at
	if reason := d.halfCharacter(token, at); reason != "" {
		return true, d.errorAt(path, at, reason)
	}
	ok := false
	switch f.Type {
	case stringField:
		var s string
		if s, ok = token.(string); ok {
			v.SetString(s)
			if f.Values != nil && !slices.Contains(f.Values, s) {
				return true, d.errorAt(path, at, fmt.Sprintf("%q is not %s", shorten(s), f.needs()))
			}
		}
	case integerField:
		var n json.Number
		if n, ok = token.(json.Number); ok {
			return true, d.integer(v, f, n, path, at)
		}
	case booleanField:
		var b bool
		if b, ok = token.(bool); ok {
			v.SetBool(b)
		}
	case switchField:
		_, isBool := token.(bool)
		if ok = isBool || token == string(Auto); ok {
			v.SetString(fmt.Sprint(token))
		} else if s, isString := token.(string); isString {
			return true, d.errorAt(path, at, fmt.Sprintf("%q is not %s", shorten(s), f.needs()))
		}
	case objectField:
		if token == json.Delim('{') {
			v.Set(reflect.New(v.Type().Elem()))
			return true, d.object(v.Elem(), path, at)
		}
	case stringsField, objectsField:
		if token == json.Delim('[') {
			return true, d.list(v, f, path)
		}
	}
	if !ok {
		return true, d.errorAt(path, at, f.needs()+" is needed, not "+valueWords(token))
	}
	return true, nil
}

func (d *decoder) integer(v reflect.Value, f Field, number json.Number, path string, at int) error {
	n, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil {
		return d.errorAt(path, at, fmt.Sprintf("%s is not %s", shorten(number.String()), f.needs()))
	}
	if n < f.Min || n > f.Max {
		return d.errorAt(path, at, fmt.Sprintf("%d is out of range %d to %d", n, f.Min, f.Max))
	}
	v.SetInt(n)
	return nil
}

// list fills the slice v behind an opening bracket.
func (d *decoder) list(v reflect.Value, f Field, path string) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 4))
	for i := 0; ; i++ {
		entry := reflect.New(v.Type().Elem()).Elem()
		where := fmt.Sprintf("%s[%d]", path, i)
		token, at := d.next()
		if token == json.Delim(']') {
			return nil
		}
		d.config.places[where] = at
		if reason := d.halfCharacter(token, at); reason != "" {
			return d.errorAt(where, at, reason)
		}
		switch s, isString := token.(string); {
		case f.Type == stringsField && isString:
			entry.SetString(s)
		case f.Type == stringsField:
			return d.errorAt(where, at, "a string is needed, not "+valueWords(token))
		case token == json.Delim('{'):
			if err := d.object(entry, where, at); err != nil {
				return err
			}
		default:
			return d.errorAt(where, at, "an object is needed, not "+valueWords(token))
		}
		v.Set(reflect.Append(v, entry))
	}
}

// fieldNamed is the number of the field that is called name in JSON, or -1. Upper and lower case differ.
func fieldNamed(t reflect.Type, name string) int {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("json") == name && name != "" {
			return i
		}
	}
	return -1
}

func unknownField(t reflect.Type, name string) string {
	var known []string
	for i := range t.NumField() {
		if n := t.Field(i).Tag.Get("json"); n != "" {
			known = append(known, n)
		}
	}
	if near := spec.Nearest(name, known); near != "" {
		return fmt.Sprintf("unknown field %q, did you mean %q?", shorten(name), near)
	}
	const few = 4
	if len(known) <= few {
		last := len(known) - 1
		return fmt.Sprintf("unknown field %q; there are %s and %s", shorten(name), strings.Join(known[:last], ", "), known[last])
	}
	return fmt.Sprintf("unknown field %q", shorten(name))
}

// valueWords says what a token begins.
func valueWords(token json.Token) string {
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			return "a list"
		}
		return "an object"
	case string:
		return "a string"
	case bool:
		return "true or false"
	case json.Number:
		return "a number"
	}
	return "null"
}
