package translate

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Field is what the tags of Config say about one field.
type Field struct {
	Name     string // as in the JSON file; fields of objects are "seccomp.deny", those of list entries "port_forwards[].host"
	Type     FieldType
	Required bool
	Min, Max int64    // inclusive range of an integer; both 0 for other types
	Values   []string // what a string may be; nil for anything
	Pattern  string   // regular expression of a string, for the schema; the check itself is in check.go
	Default  string   // JSON text; "" when there is none
	Doc      string
	Fields   []Field // of an object, or of the entries of a list of objects
}

// FieldType is the type of a field, in the words of the documentation.
type FieldType string

// The types of fields and the Go types that they are decoded into.
const (
	stringField  FieldType = "string"          // string
	integerField FieldType = "integer"         // int64
	booleanField FieldType = "boolean"         // bool
	switchField  FieldType = "boolean or auto" // Switch
	stringsField FieldType = "list of strings" // []string
	objectField  FieldType = "object"          // pointer to a struct, nil when absent
	objectsField FieldType = "list of objects" // slice of structs
)

// Switch is a setting that zbox decides on when it is "auto".
type Switch string

// The values of a Switch: true, false and "auto" in JSON.
const (
	Auto Switch = "auto"
	On   Switch = "true"
	Off  Switch = "false"
)

// Fields lists the fields of the configuration in the order of Config.
func Fields() []Field {
	return fieldsOf(reflect.TypeFor[Config](), "")
}

func fieldsOf(t reflect.Type, prefix string) []Field {
	var out []Field
	for i := range t.NumField() {
		if sf := t.Field(i); sf.IsExported() {
			f := fieldOf(sf)
			f.Name = prefix + f.Name
			switch {
			case f.Type == objectField:
				f.Fields = fieldsOf(sf.Type.Elem(), f.Name+".")
			case f.Type == objectsField:
				f.Fields = fieldsOf(sf.Type.Elem(), f.Name+"[].")
			}
			out = append(out, f)
		}
	}
	return out
}

// fieldOf reads the tags of one field, without those below it. It panics on a tag that is no number: that is a mistake in this package.
func fieldOf(sf reflect.StructField) Field {
	f := Field{
		Name:     sf.Tag.Get("json"),
		Type:     fieldType(sf.Type),
		Required: sf.Tag.Get("need") == "yes",
		Pattern:  sf.Tag.Get("pattern"),
		Default:  sf.Tag.Get("default"),
		Doc:      sf.Tag.Get("doc"),
	}
	if f.Type == integerField {
		f.Min, f.Max = tagNumber(sf, "min"), tagNumber(sf, "max")
	}
	if values := sf.Tag.Get("values"); values != "" {
		f.Values = strings.Split(values, ",")
	}
	return f
}

func fieldType(t reflect.Type) FieldType {
	switch {
	case t == reflect.TypeFor[Switch]():
		return switchField
	case t.Kind() == reflect.String:
		return stringField
	case t.Kind() == reflect.Int64:
		return integerField
	case t.Kind() == reflect.Bool:
		return booleanField
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
		return objectField
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return objectsField
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return stringsField
	}
	panic(fmt.Sprintf("%s is not a type of a field", t))
}

func tagNumber(sf reflect.StructField, tag string) int64 {
	n, err := strconv.ParseInt(sf.Tag.Get(tag), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("field %s: tag %s: %v", sf.Name, tag, err))
	}
	return n
}

// needs says what a value of the field must be.
func (f Field) needs() string {
	switch {
	case f.Type == integerField:
		return fmt.Sprintf("a whole number from %d to %d", f.Min, f.Max)
	case f.Type == booleanField:
		return "true or false"
	case f.Type == switchField:
		return `true, false or "auto"`
	case f.Type == objectField:
		return "an object"
	case f.Values != nil:
		return "one of " + strings.Join(f.Values, ", ")
	}
	return "a " + string(f.Type)
}
