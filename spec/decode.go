package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/bxrne/zbox/spec/oneshot"
)

// DecodeOptions tell how Decode treats what it does not know.
type DecodeOptions struct {
	// Strict makes a field that the Go type does not have an error that suggests the nearest name. Names must match in case, too.
	Strict bool
}

// Decode decodes data, one JSON value, into v. Its errors are a *SyntaxError for broken JSON, values of a wrong type, anything
// behind the value, and unknown fields when opts.Strict is set. name is what the errors call the file. Of duplicate keys the last
// one counts, as in encoding/json.
func Decode(name string, data []byte, v any, opts DecodeOptions) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return newSyntaxError(name, data, 0, "", "the file is empty")
	}
	if oneshot.TryUnmarshal(data, v, opts.Strict) {
		return nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return explain(name, data, reflect.TypeOf(v), err)
	}
	if !opts.Strict {
		return nil
	}
	s := scanner{data: data, strict: true}
	if s.value(reflect.TypeOf(v)); s.isUnknown {
		return newSyntaxError(name, data, s.pos, s.fieldPath(), unknownReason(s.unknown, s.known))
	}
	return nil
}

// explain turns an error of encoding/json into one that names the place.
func explain(name string, data []byte, t reflect.Type, err error) error {
	var broken *json.SyntaxError
	if errors.As(err, &broken) {
		s := scanner{data: data}
		s.value(t)
		at := int(broken.Offset) - 1
		if strings.HasPrefix(broken.Error(), "unexpected end") {
			at = len(bytes.TrimRight(data, " \t\r\n"))
		}
		return newSyntaxError(name, data, at, s.fieldPath(), syntaxReason(data, at, broken.Error()))
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		s := scanner{data: data, find: int(wrong.Offset)}
		s.value(t)
		at := s.pos
		if !s.found {
			at = int(wrong.Offset) - 1
		}
		return newSyntaxError(name, data, at, s.fieldPath(), typeReason(wrong))
	}
	return fmt.Errorf("%s: %w", name, err)
}

func unknownReason(unknown string, known []string) string {
	if near := Nearest(unknown, known); near != "" {
		return fmt.Sprintf("unknown field %q, did you mean %q?", unknown, near)
	}
	return fmt.Sprintf("unknown field %q", unknown)
}

// typeReason says what a value is and what it must be.
func typeReason(err *json.UnmarshalTypeError) string {
	needed := typeWords(err.Type)
	if number, ok := strings.CutPrefix(err.Value, "number "); ok {
		return fmt.Sprintf("%s is not %s", printable(number, 40), needed)
	}
	return fmt.Sprintf("%s is needed, not %s", needed, valueWords[err.Value])
}

var valueWords = map[string]string{
	"array": "a list", "object": "an object", "string": "a string", "number": "a number", "bool": "true or false",
}

func typeWords(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		limit := int64(math.MaxInt64) >> (64 - t.Bits())
		return fmt.Sprintf("a whole number from %d to %d", -limit-1, limit)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-t.Bits()))
	default:
		return "a " + t.Kind().String()
	}
}
