package translate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// decode fills c from data and reports fields that do not exist and fields that are missing.
func decode(file string, data []byte, c *Config) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(c); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := checkPresent(data, reflect.TypeFor[Config](), ""); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// checkPresent reports the first needed field of t, a struct, that the object in data does not have. null counts as not there.
// where is the path of the object, with its dot.
func checkPresent(data []byte, t reflect.Type, where string) error {
	var have map[string]json.RawMessage
	if err := json.Unmarshal(data, &have); err != nil {
		return err
	}
	for i := range t.NumField() {
		sf := t.Field(i)
		if !sf.IsExported() {
			continue
		}
		f := fieldOf(sf)
		value, ok := have[f.Name]
		ok = ok && !bytes.Equal(value, []byte("null"))
		switch {
		case !ok && f.Required && f.Type == "integer":
			return fmt.Errorf("%s%s: missing; it is an integer from %d to %d", where, f.Name, f.Min, f.Max)
		case !ok && f.Required:
			return fmt.Errorf("%s%s: missing; it is a %s", where, f.Name, f.Type)
		case ok && sf.Type.Kind() == reflect.Slice:
			if err := checkEntries(value, sf.Type.Elem(), where+f.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkEntries(data []byte, t reflect.Type, where string) error {
	var entries []json.RawMessage
	if err := json.Unmarshal(data, &entries); err != nil {
		return err
	}
	for i, entry := range entries {
		if err := checkPresent(entry, t, fmt.Sprintf("%s[%d].", where, i)); err != nil {
			return err
		}
	}
	return nil
}
