package oneshot

import (
	"encoding"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// sample has a field of every kind that Unmarshal and Marshal know.
type sample struct {
	Text     string            `json:"text"`
	Maybe    *string           `json:"maybe,omitempty"`
	Yes      bool              `json:"yes,omitempty"`
	Small    int8              `json:"small"`
	Big      uint64            `json:"big,omitempty"`
	List     []string          `json:"list,omitempty"`
	Nested   []inner           `json:"nested"`
	Map      map[string]inner  `json:"map,omitempty"`
	Words    map[string]string `json:"words"`
	Time     time.Time         `json:"time"`
	Mode     *os.FileMode      `json:"mode"`
	Any      any               `json:"any,omitempty"`
	Float    float64           `json:"float"`
	Bytes    []byte            `json:"bytes"`
	Numbers  map[int]string    `json:"numbers,omitempty"`
	Unnamed  string
	Left     string `json:"-"`
	hidden   string
	embedded `json:"embedded"`
	inner
}

type inner struct {
	A int64  `json:"a"`
	B *inner `json:"b,omitempty"`
}

type embedded struct {
	Deep string `json:"deep"`
}

// plain are texts that Unmarshal is there for.
var plain = []string{
	`{}`, ` {
		"text" : "x" } `,
	`{"text": "", "maybe": "m", "yes": true, "small": -128, "big": 18446744073709551615}`,
	`{"list": ["a", "b", "c", "d", "e", "f"], "nested": [{"a": 1, "b": {"a": 2}}, {}], "map": {"k": {"a": 3}}}`,
	`{"list": [], "nested": null, "map": {}, "words": {"a": "b", "": ""}, "maybe": null, "yes": false}`,
	`{"text": "\u00e9\n\"ü", "words": {"\u0041": "\\"}}`,
	`{"time": "2026-11-25T17:13:14.5Z", "mode": 420, "Unnamed": "u", "a": 5, "b": {"b": {}}}`,
	`{"unknown": [1, -0.5e+3, "x", {"y": [[], {}]}, true, false, null], "text": "behind"}`,
	`{"mode": null, "text": null, "small": null}`, `null`,
}

// doubtful are texts that are left to encoding/json.
var doubtful = []string{
	``, ` `, `{`, `}`, `{"text"}`, `{"text":}`, `{"text": "x",}`, `{,}`, `{"list": [,]}`, `{"list": ["a",]}`, `{"list": ["a" "b"]}`, `{} {}`, `{}x`,
	`{"text": x}`, `{"text": "a`, `{"text": "a\`, `{"text": "a\q"}`, "{\"text\": \"a\nb\"}", `{"yes": tru}`, `{"yes": nul}`, `{"yes": truex}`, `{"yes": 1}`,
	`{"small": 128}`, `{"small": 1.0}`, `{"small": 01}`, `{"small": -}`, `{"small": +1}`, `{"small": 1e2}`, `{"small": "1"}`, `{"big": -1}`,
	`{"list": {}}`, `{"map": []}`, `{"nested": [1]}`, `{"text": {}}`, `[]`, `"x"`, `1`, `{"TEXT": "case"}`, `{"text": "a", "text": "b"}`,
	`{"words": {"a": "b", "a": "c"}}`, `{"any": {"x": 1}}`, `{"float": 1.5}`, `{"bytes": "aGk="}`, `{"numbers": {"1": "x"}}`,
	`{"unknown": [1,]}`, `{"unknown": {"a" 1}}`, `{"unknown": 1.}`, `{"unknown": 1e}`, `{"unknown": .5}`, `{"unknown": "`, `{"time": 5}`,
	`{"unknown": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "\x00", "{}\x00",
}

func TestTryUnmarshalDoesAsEncodingJSON(t *testing.T) {
	for _, text := range plain {
		if !sameAsEncodingJSON(t, text, new(sample), new(sample)) {
			t.Errorf("%s: left to encoding/json", text)
		}
	}
}

func TestUnmarshalGivesTheErrorsOfEncodingJSON(t *testing.T) {
	for _, text := range doubtful {
		var got, want sample
		gotErr, wantErr := Unmarshal([]byte(text), &got), json.Unmarshal([]byte(text), &want)
		if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v and %+v; encoding/json has %v and %+v", text, gotErr, got, wantErr, want)
		}
	}
}

func TestTryUnmarshalLeavesWhatIsDoubtfulAndChangesNothing(t *testing.T) {
	for _, text := range doubtful {
		got := sample{Text: "as it was"}
		if TryUnmarshal([]byte(text), &got, false) {
			t.Errorf("%q: decoded", text)
		}
		if want := (sample{Text: "as it was"}); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: left %+v", text, got)
		}
	}
	if TryUnmarshal([]byte(`{}`), sample{}, false) || TryUnmarshal([]byte(`{}`), (*sample)(nil), false) || TryUnmarshal([]byte(`{}`), nil, false) {
		t.Error("decoded into what is no pointer to anything")
	}
}

func TestStrictLeavesUnknownFields(t *testing.T) {
	for _, text := range []string{`{"unknown": 1}`, `{"nested": [{"unknown": 1}]}`} {
		if !TryUnmarshal([]byte(text), new(sample), false) {
			t.Errorf("%s: left to encoding/json", text)
		}
		if TryUnmarshal([]byte(text), new(sample), true) {
			t.Errorf("%s: decoded although strict", text)
		}
	}
	if !TryUnmarshal([]byte(`{"text": "x", "words": {"any": "name"}}`), new(sample), true) {
		t.Error("known fields and the names of a map are left to encoding/json when strict")
	}
}

// sameAsEncodingJSON decodes with both into new values and reports whether TryUnmarshal did.
func sameAsEncodingJSON(t *testing.T, text string, got, want any) bool {
	t.Helper()
	if !TryUnmarshal([]byte(text), got, false) {
		return false
	}
	if err := json.Unmarshal([]byte(text), want); err != nil {
		t.Errorf("%s: decoded, but encoding/json says %v", text, err)
	} else if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n%+v, encoding/json has\n%+v", text, got, want)
	}
	return true
}

func TestMarshalDoesAsEncodingJSON(t *testing.T) {
	word, mode := "w<&>\x01é\u2028", os.FileMode(0o644)
	for _, v := range []any{
		sample{},
		&sample{}, (*sample)(nil), nil, "text", 5, []string(nil),
		[]string{},
		sample{
			Text: word, Maybe: &word, Yes: true, Small: -1, Big: 1 << 63, List: []string{"a", ""}, Nested: []inner{{}, {A: 1, B: &inner{}}},
			Map: map[string]inner{"b": {}, "a<": {A: 2}}, Words: map[string]string{}, Time: time.Unix(1e9, 5).UTC(), Mode: &mode,
			Any: map[string]any{"x": 1}, Float: 1.5, Bytes: []byte("hi"), Numbers: map[int]string{2: "b", 1: "a"}, Unnamed: "u",
			Left: "left", hidden: "h", embedded: embedded{"d"}, inner: inner{A: 7},
		},
		struct {
			F func() `json:"f"`
		}{},
	} {
		got, gotErr := Marshal(v)
		want, wantErr := json.Marshal(v)
		if (gotErr != nil) != (wantErr != nil) || gotErr == nil && string(got) != string(want) {
			t.Errorf("%+v:\n%s, %v; encoding/json has\n%s, %v", v, got, gotErr, want, wantErr)
		}
	}
}

// Only of structs is it looked up whether they encode and decode themselves, and only the option omitempty is known.
func TestSpecificationHasNothingThatIsNotKnown(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		if typ.Kind() != reflect.Struct && isCustom(typ) {
			t.Errorf("%v encodes or decodes itself", typ)
		}
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				_, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
				if options != "" && options != "omitempty" {
					t.Errorf("%v.%s: option %q", typ, typ.Field(i).Name, options)
				}
				walk(typ.Field(i).Type)
			}
		}
	}
	walk(reflect.TypeFor[specs.Spec]())
	var _ encoding.TextMarshaler = time.Time{} // what isCustom is about
	if !isCustom(reflect.TypeFor[time.Time]()) {
		t.Error("time.Time is not seen to encode itself")
	}
}

func FuzzTryUnmarshalDoesAsEncodingJSON(f *testing.F) {
	for _, text := range append(plain, doubtful...) {
		f.Add(text)
	}
	f.Add(`{"ociVersion": "1.3.0", "process": {"args": ["sh"], "user": {"uid": 1}}, "linux": {"resources": {"blockIO": {"weightDevice": [{"major": 8, "weight": 9}]}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		sameAsEncodingJSON(t, text, new(sample), new(sample))
		var s specs.Spec
		if !sameAsEncodingJSON(t, text, &s, new(specs.Spec)) {
			return
		}
		got, err := Marshal(&s)
		want, wantErr := json.Marshal(&s)
		if err != nil || wantErr != nil || string(got) != string(want) {
			t.Errorf("%s: encoded as %s, not %s", text, got, want)
		}
	})
}
