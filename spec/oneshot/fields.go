package oneshot

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// structFields are what encoding/json sees of a struct.
type structFields struct {
	list   []field
	custom bool // it encodes and decodes itself
}

type field struct {
	name      string
	index     []int
	omitEmpty bool
}

func (f *structFields) find(name string) int {
	for i := range f.list {
		if f.list[i].name == name {
			return i
		}
	}
	return -1
}

// hasInOtherCase reports a field that encoding/json would take the name for.
func (f *structFields) hasInOtherCase(name string) bool {
	for i := range f.list {
		if strings.EqualFold(f.list[i].name, name) {
			return true
		}
	}
	return false
}

// known are the fields of the structs that were met.
var known sync.Map // of reflect.Type to *structFields

func fieldsOf(t reflect.Type) *structFields {
	if f, ok := known.Load(t); ok {
		return f.(*structFields)
	}
	f := &structFields{custom: isCustom(t)}
	if !f.custom {
		f.list = listFields(t, nil)
	}
	known.Store(t, f)
	return f
}

func isCustom(t reflect.Type) bool {
	if t.NumMethod() == 0 && reflect.PointerTo(t).NumMethod() == 0 {
		return false
	}
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[json.Marshaler]()) ||
		p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// listFields lists the fields of a struct and, in their place, those of the structs that it embeds by value.
func listFields(t reflect.Type, parent []int) []field {
	list := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
		index := append(parent[:len(parent):len(parent)], i)
		embeds := sf.Anonymous && sf.Type.Kind() == reflect.Struct
		switch {
		case embeds && name == "":
			list = append(list, listFields(sf.Type, index)...)
			continue
		case !sf.IsExported() && !embeds || name == "-" && options == "":
			continue
		case name == "":
			name = sf.Name
		}
		list = append(list, field{name: name, index: index, omitEmpty: options == "omitempty"})
	}
	return list
}
