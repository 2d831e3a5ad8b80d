package translate

import (
	"fmt"
	"reflect"
	"strconv"
)

// Field is what the tags of Config say about one field.
type Field struct {
	Name     string // as in the JSON file; fields of list entries are "port_forwards[].host"
	Type     string // "string", "integer", "boolean", "list of objects"
	Required bool
	Min, Max int64  // inclusive range of an integer; both 0 for other types
	Default  string // JSON text; "" when Required
	Doc      string
}

// Fields lists all fields of the configuration in the order of Config, those of list entries behind their list.
func Fields() []Field {
	return fieldsOf(reflect.TypeFor[Config](), "")
}

func fieldsOf(t reflect.Type, prefix string) []Field {
	var out []Field
	for i := range t.NumField() {
		sf := t.Field(i)
		if !sf.IsExported() {
			continue
		}
		f := fieldOf(sf)
		f.Name = prefix + f.Name
		out = append(out, f)
		if sf.Type.Kind() == reflect.Slice {
			out = append(out, fieldsOf(sf.Type.Elem(), f.Name+"[].")...)
		}
	}
	return out
}

// fieldOf panics on a tag that is no number: that is a mistake in this package.
func fieldOf(sf reflect.StructField) Field {
	f := Field{
		Name:     sf.Tag.Get("json"),
		Required: sf.Tag.Get("need") == "yes",
		Default:  sf.Tag.Get("default"),
		Doc:      sf.Tag.Get("doc"),
	}
	switch sf.Type.Kind() {
	case reflect.String:
		f.Type = "string"
	case reflect.Int64:
		f.Type = "integer"
		f.Min, f.Max = tagNumber(sf, "min"), tagNumber(sf, "max")
	case reflect.Bool:
		f.Type = "boolean"
	case reflect.Slice:
		f.Type = "list of objects"
	default:
		panic(fmt.Sprintf("field %s has a type that Fields does not know", sf.Name))
	}
	return f
}

func tagNumber(sf reflect.StructField, tag string) int64 {
	n, err := strconv.ParseInt(sf.Tag.Get(tag), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("field %s: tag %s: %v", sf.Name, tag, err))
	}
	return n
}

// checkRanges reports the first integer of v, a struct, that is outside the range of its tags. where is the path of v itself, with
// its dot.
func checkRanges(v reflect.Value, where string) error {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		switch {
		case !sf.IsExported():
		case sf.Type.Kind() == reflect.Int64:
			f, n := fieldOf(sf), v.Field(i).Int()
			if n < f.Min || n > f.Max {
				return fmt.Errorf("%s%s: %d is out of range %d to %d", where, f.Name, n, f.Min, f.Max)
			}
		case sf.Type.Kind() == reflect.Slice:
			for j := range v.Field(i).Len() {
				at := fmt.Sprintf("%s%s[%d].", where, sf.Tag.Get("json"), j)
				if err := checkRanges(v.Field(i).Index(j), at); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
