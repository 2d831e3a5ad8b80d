package oneshot

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Marshal is json.Marshal: the same text, without preparing the type.
func Marshal(v any) ([]byte, error) {
	e := encoder{out: make([]byte, 0, 1024)}
	e.value(reflect.ValueOf(v))
	return e.out, e.err
}

type encoder struct {
	out []byte
	err error
}

func (e *encoder) value(v reflect.Value) {
	if !v.IsValid() {
		e.out = append(e.out, "null"...)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			e.out = append(e.out, "null"...)
			return
		}
		e.value(v.Elem())
	case reflect.Struct:
		e.object(v)
	case reflect.Map:
		e.mapObject(v)
	case reflect.Slice:
		e.slice(v)
	case reflect.String:
		e.text(v.String())
	case reflect.Bool:
		e.out = strconv.AppendBool(e.out, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.out = strconv.AppendInt(e.out, v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		e.out = strconv.AppendUint(e.out, v.Uint(), 10)
	default:
		e.ask(v)
	}
}

// ask lets encoding/json encode what is rare.
func (e *encoder) ask(v reflect.Value) {
	data, err := json.Marshal(v.Interface())
	if err != nil && e.err == nil {
		e.err = err
	}
	e.out = append(e.out, data...)
}

func (e *encoder) text(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			e.ask(reflect.ValueOf(s))
			return
		}
	}
	e.out = append(append(append(e.out, '"'), s...), '"')
}

func (e *encoder) object(v reflect.Value) {
	fields := fieldsOf(v.Type())
	if fields.custom {
		e.ask(v)
		return
	}
	open := byte('{')
	for i := range fields.list {
		f := &fields.list[i]
		member := v.FieldByIndex(f.index)
		if f.omitEmpty && isEmpty(member) {
			continue
		}
		e.out = append(e.out, open)
		open = ','
		e.text(f.name)
		e.out = append(e.out, ':')
		e.value(member)
	}
	if open == '{' {
		e.out = append(e.out, open)
	}
	e.out = append(e.out, '}')
}

// isEmpty is what omitempty means to encoding/json.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.String, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}

func (e *encoder) mapObject(v reflect.Value) {
	if v.IsNil() || v.Type().Key().Kind() != reflect.String || v.Type().Key().NumMethod() != 0 {
		e.ask(v)
		return
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		switch {
		case a.String() < b.String():
			return -1
		case a.String() > b.String():
			return 1
		}
		return 0
	})
	e.out = append(e.out, '{')
	for i, key := range keys {
		if i > 0 {
			e.out = append(e.out, ',')
		}
		e.text(key.String())
		e.out = append(e.out, ':')
		e.value(v.MapIndex(key))
	}
	e.out = append(e.out, '}')
}

func (e *encoder) slice(v reflect.Value) {
	if v.IsNil() || v.Type().Elem().Kind() == reflect.Uint8 { // null, base64
		e.ask(v)
		return
	}
	e.out = append(e.out, '[')
	for i := range v.Len() {
		if i > 0 {
			e.out = append(e.out, ',')
		}
		e.value(v.Index(i))
	}
	e.out = append(e.out, ']')
}
