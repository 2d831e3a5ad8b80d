package translate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
	"sync"

	"github.com/bxrne/zbox/spec"
)

// decode fills c from data and reports broken JSON, wrong types, fields that do not exist and fields that are missing.
func decode(file string, data []byte, c *Config) error {
	if err := spec.Decode(file, data, c, spec.DecodeOptions{Strict: true}); err != nil {
		return withRange(err)
	}
	if err := checkPresent(data, reflect.TypeFor[Config](), ""); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// withRange puts the field's own range in place of the one of its Go type.
func withRange(err error) error {
	var broken *spec.SyntaxError
	if !errors.As(err, &broken) {
		return err
	}
	name := listIndex().ReplaceAllString(broken.Field, "[]")
	for _, f := range Fields() {
		if f.Name == name && f.Type == "integer" {
			own := fmt.Sprintf("a whole number from %d to %d", f.Min, f.Max)
			broken.Reason = strings.Replace(broken.Reason, wholeNumber, own, 1)
		}
	}
	return err
}

var (
	listIndex   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\[[0-9]+\]`) })
	wholeNumber = fmt.Sprintf("a whole number from %d to %d", math.MinInt64, math.MaxInt64)
)

// checkPresent reports the first needed field of t, a struct, that the object in data does not have. null counts as not there.
// where is the path of the object, with its dot.
func checkPresent(data []byte, t reflect.Type, where string) error {
	have, err := members(data, where)
	if err != nil {
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
			return fmt.Errorf("%s%s: missing; it is a whole number from %d to %d", where, f.Name, f.Min, f.Max)
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

// members splits an object, or null. encoding/json would take the last of two members with one name and drop the other without a word.
func members(data []byte, where string) (map[string]json.RawMessage, error) {
	have := map[string]json.RawMessage{}
	dec := json.NewDecoder(bytes.NewReader(data))
	open, err := dec.Token()
	if err != nil {
		return nil, err
	}
	for open != nil && dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name := fmt.Sprint(key)
		if _, twice := have[name]; twice {
			return nil, fmt.Errorf("%s%s: given twice", where, name)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		have[name] = value
	}
	return have, nil
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
