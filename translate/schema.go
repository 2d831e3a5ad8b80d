package translate

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Schema is the JSON Schema (draft 2020-12) of the configuration, made from Fields. What only the check of a whole configuration can
// tell, such as a port that is forwarded twice, is not in it.
func Schema() ([]byte, error) {
	root := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "zbox sandbox"},
		{"description", "The file of zbox -c FILE: one program in a sandbox"},
	}
	data, err := json.Marshal(append(root, objectSchema(Fields())...))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Indent(&out, data, "", "  ")
	out.WriteByte('\n')
	return out.Bytes(), err
}

func objectSchema(fields []Field) object {
	properties, required := object{}, []string{}
	for _, f := range fields {
		name := f.Name[strings.LastIndexByte(f.Name, '.')+1:]
		properties = append(properties, member{name, fieldSchema(f)})
		if f.Required {
			required = append(required, name)
		}
	}
	return object{{"type", "object"}, {"additionalProperties", false}, {"required", required}, {"properties", properties}}
}

func fieldSchema(f Field) object {
	s := object{{"description", f.Doc}}
	if f.Default != "" {
		s = append(s, member{"default", json.RawMessage(f.Default)})
	}
	switch f.Type {
	case stringField:
		s = append(s, member{"type", "string"})
		if f.Pattern != "" {
			s = append(s, member{"pattern", f.Pattern})
		}
		if f.Values != nil {
			s = append(s, member{"enum", f.Values})
		}
	case integerField:
		s = append(s, member{"type", "integer"}, member{"minimum", f.Min}, member{"maximum", f.Max})
	case booleanField:
		s = append(s, member{"type", "boolean"})
	case switchField:
		s = append(s, member{"enum", []any{true, false, string(Auto)}})
	case stringsField:
		s = append(s, member{"type", "array"}, member{"items", object{{"type", "string"}}})
	case objectsField:
		s = append(s, member{"type", "array"}, member{"items", objectSchema(f.Fields)})
	case objectField:
		s = append(s, objectSchema(f.Fields)...)
	}
	return s
}

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		out.Write(name)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}
