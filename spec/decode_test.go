package spec

import (
	"errors"
	"strings"
	"testing"
)

func TestParseNamesPlaceFieldAndReasonOfBrokenJSON(t *testing.T) {
	for _, tt := range []struct {
		name, data, want, spot string
	}{
		{
			"a value is missing", "{\n  \"process\": {\n\t\"cwd\": }\n}",
			`config.json:3:9: process.cwd: invalid character '}' looking for beginning of value, at: "cwd":  --> }`,
			" \"cwd\": }\n        ^",
		},
		{
			"the file ends too soon", `{"process": {"args": ["sh"`,
			`config.json:1:27: process.args[0]: unexpected end of JSON input, at: {"process": {"args": ["sh" --> (end of file)`,
			"{\"process\": {\"args\": [\"sh\"\n                          ^",
		},
		{"nothing is there", "", "config.json:1:1: the file is empty", "\n^"},
		{"only spaces are there", " \n\n", "config.json:1:1: the file is empty", " \n^"},
		{
			"something follows", "{}\n{}",
			`config.json:2:1: invalid character '{' after top-level value, at: --> {}`,
			"{}\n^",
		},
		{
			"a comma is missing in a list", `{"mounts": [{"options": ["ro" "nosuid"]}]}`,
			`config.json:1:31: mounts[0].options[0]: invalid character '"' after array element, at: ` +
				`{"mounts": [{"options": ["ro"  --> "nosuid"]}]}`,
			"{\"mounts\": [{\"options\": [\"ro\" \"nosuid\"]}]}\n                              ^",
		},
		{
			"a comma too many", "{\"hostname\": \"a\",\n}",
			`config.json:2:1: a comma with nothing behind it, which JSON does not have, at: --> }`,
			"}\n^",
		},
		{
			"a word is misspelled", `{"root": {"readonly": tru}}`,
			`config.json:1:26: root.readonly: invalid character '}' in literal true (expecting 'e'), at: ` +
				`{"root": {"readonly": tru --> }}`,
			"{\"root\": {\"readonly\": tru}}\n                         ^",
		},
		{
			"a control character in a string", "{\"hostname\": \"a\x1b[2J\"}",
			`config.json:1:16: hostname: invalid character '\x1b' in string literal, at: {"hostname": "a --> ?[2J"}`,
			"{\"hostname\": \"a?[2J\"}\n               ^",
		},
		{
			"a number for a string", `{"process": {"cwd": 5}}`,
			`config.json:1:21: process.cwd: a string is needed, not a number, at: {"process": {"cwd":  --> 5}}`,
			"{\"process\": {\"cwd\": 5}}\n                    ^",
		},
		{
			"a string for a list, in a list", "{\"mounts\": [{}, {\n\"options\": \"ro\"}]}",
			`config.json:2:12: mounts[1].options: a list is needed, not a string, at: "options":  --> "ro"}]}`,
			"\"options\": \"ro\"}]}\n           ^",
		},
		{
			"a list for an object", `{"process": []}`,
			`config.json:1:13: process: an object is needed, not a list, at: {"process":  --> []}`,
			"{\"process\": []}\n            ^",
		},
		{
			"a list for the whole", `[]`,
			`config.json:1:1: an object is needed, not a list, at: --> []`,
			"[]\n^",
		},
		{
			"an object for a string with escapes before", `{"a\"b": "\\\"", "hostname": {}}`,
			`config.json:1:30: hostname: a string is needed, not an object, at: {"a\"b": "\\\"", "hostname":  --> {}}`,
			"{\"a\\\"b\": \"\\\\\\\"\", \"hostname\": {}}\n                             ^",
		},
		{
			"a user that is too big", `{"process": {"user": {"uid": 4294967296}}}`,
			`config.json:1:30: process.user.uid: 4294967296 is not a whole number from 0 to 4294967295, at: ` +
				`{"process": {"user": {"uid":  --> 4294967296}}}`,
			"{\"process\": {\"user\": {\"uid\": 4294967296}}}\n                             ^",
		},
		{
			"a negative group", `{"process": {"user": {"gid": -1}}}`,
			`config.json:1:30: process.user.gid: -1 is not a whole number from 0 to 4294967295, at: ` +
				`{"process": {"user": {"gid":  --> -1}}}`,
			"{\"process\": {\"user\": {\"gid\": -1}}}\n                             ^",
		},
		{
			"a fraction", `{"linux": {"resources": {"memory": {"limit": 1.5}}}}`,
			`config.json:1:46: linux.resources.memory.limit: 1.5 is not a whole number from -9223372036854775808 to ` +
				`9223372036854775807, at: ...ources": {"memory": {"limit":  --> 1.5}}}}`,
			"{\"linux\": {\"resources\": {\"memory\": {\"limit\": 1.5}}}}\n                                             ^",
		},
		{
			"columns count characters", `{"hostname": "größe", "domainname": 1}`,
			`config.json:1:37: domainname: a string is needed, not a number, at: ...name": "größe", "domainname":  --> 1}`,
			"{\"hostname\": \"größe\", \"domainname\": 1}\n                                    ^",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("config.json", []byte(tt.data))
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("no SyntaxError: %v", err)
			}
			if got := err.Error(); got != tt.want {
				t.Errorf("%s\nnot %s", got, tt.want)
			}
			if syntax.Spot != tt.spot {
				t.Errorf("spot\n%s\nnot\n%s", syntax.Spot, tt.spot)
			}
		})
	}
}

func TestSyntaxErrorOfALongLineShowsOnlyAPiece(t *testing.T) {
	data := `{"annotations": {"a": "` + strings.Repeat("x", 5000) + `"}, "hostname": 1, "b": "` + strings.Repeat("y", 5000) + `"}`
	_, err := Parse("config.json", []byte(data))
	want := `config.json:1:5040: hostname: a string is needed, not a number, at: ...xxxxxxxxxxxxxx"}, "hostname":  --> 1, "b": "yyyyyyyyyyy...`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nnot %s", err, want)
	}
	var syntax *SyntaxError
	if errors.As(err, &syntax) && len(syntax.Spot) > 250 {
		t.Errorf("the spot has %d bytes", len(syntax.Spot))
	}
}

func TestParseIgnoresUnknownFieldsAndTakesTheLastOfDuplicates(t *testing.T) {
	s, err := Parse("config.json", []byte(`{"unknown": [{}], "hostname": "a", "linux": {"new": 1}, "hostname": "b"}`))
	if err != nil {
		t.Fatal(err)
	}
	if s.Hostname != "b" {
		t.Errorf("hostname %q", s.Hostname)
	}
}

type inner struct {
	Host int `json:"host"`
}

type embedded struct {
	Shared string `json:"shared"`
}

type strictConfig struct {
	embedded
	Name     string           `json:"name"`
	Memory   int64            `json:"memory_limit_mb"`
	Forwards []inner          `json:"port_forwards"`
	Optional *inner           `json:"optional,omitempty"`
	Labels   map[string]inner `json:"labels"`
	Hidden   int              `json:"-"`
	hidden   int              //nolint:unused // must not be suggested
}

func TestDecodeStrict(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"all is known", `{"name": "a", "port_forwards": [{"host": 1}], "optional": {"host": 2}, "labels": {"x": {"host": 3}}, "shared": "s"}`, ""},
		{
			"a misspelled field", "{\n  \"memroy_limit_mb\": 5}",
			`sandbox.json:2:3: unknown field "memroy_limit_mb", did you mean "memory_limit_mb"?, at: --> "memroy_limit_mb": 5...`,
		},
		{"an unknown field", `{"name": "a", "colour": 1}`, `sandbox.json:1:15: unknown field "colour", at: {"name": "a",  --> "colour": 1}`},
		{"another case", `{"Name": "a"}`, `sandbox.json:1:2: unknown field "Name", did you mean "name"?, at: { --> "Name": "a"}`},
		{
			"in a list", `{"port_forwards": [{"host": 1}, {"hots": 2}]}`,
			`sandbox.json:1:34: port_forwards[1]: unknown field "hots", did you mean "host"?, at: ...ort_forwards": [{"host": 1}, { --> "hots": 2}]}`,
		},
		{"behind a pointer", `{"optional": {"x": 1}}`, `sandbox.json:1:15: optional: unknown field "x", at: {"optional": { --> "x": 1}}`},
		{
			"in a map", `{"labels": {"any": {"hst": 1}}}`,
			`sandbox.json:1:21: labels.any: unknown field "hst", did you mean "host"?, at: {"labels": {"any": { --> "hst": 1}}}`,
		},
		{"a field that is not for JSON", `{"hidden": 1}`, `sandbox.json:1:2: unknown field "hidden", at: { --> "hidden": 1}`},
		{
			"a wrong type comes first", `{"x": 1, "name": 5}`,
			`sandbox.json:1:18: name: a string is needed, not a number, at: {"x": 1, "name":  --> 5}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c strictConfig
			err := Decode("sandbox.json", []byte(tt.data), &c, DecodeOptions{Strict: true})
			if got := errorText(err); got != tt.want {
				t.Errorf("%s\nnot %s", got, tt.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestNearest(t *testing.T) {
	known := []string{"memory_limit_mb", "cpu_limit_percent", "root", "name"}
	for _, tt := range []struct{ name, want string }{
		{"memory_limit", "memory_limit_mb"},
		{"MEMORY_LIMIT_MB", "memory_limit_mb"},
		{"rott", "root"},
		{"orot", "root"},
		{"na_me", "name"},
		{"xyz", ""},
		{"", ""},
		{strings.Repeat("a", 1000), ""},
	} {
		if got := Nearest(tt.name, known); got != tt.want {
			t.Errorf("%q: %q, not %q", tt.name, got, tt.want)
		}
	}
}
