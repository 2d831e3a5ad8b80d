package translate

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("zbox.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("zbox.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What an editor says by the schema is what zbox says.
func TestSchemaAgreesWithTheDecoder(t *testing.T) {
	schema := compiledSchema(t)
	example, err := os.ReadFile("../examples/sandbox.json")
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{
		string(example), with(`"name": "x"`), without("name"), without("root"), with(`"cpu_cores": 0`), with(`"cpu_cores": 8192`),
		with(`"cpu_cores": 8193`), with(`"cpu_cores": "1"`), with(`"cpu_cores": 1.5`), with(`"name": "-x"`), with(`"name": "` + strings.Repeat("x", 64) + `"`),
		with(`"name": "x", "nae": 1`), with(`"port_forwards": [{"host": 1, "sandbox": 2}]`), with(`"port_forwards": [{"host": 1}]`),
		with(`"port_forwards": [{"host": 1, "sandbox": 2, "x": 3}]`), with(`"port_forwards": {}`), with(`"network_access": 1`), `[]`,
	}
	for _, text := range texts {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		bySchema := schema.Validate(v)
		_, byDecoder := Parse("c.json", []byte(text))
		if (bySchema == nil) != (byDecoder == nil) {
			t.Errorf("%s:\nthe schema says %v\nthe decoder says %v", text, bySchema, byDecoder)
		}
	}
}

// Every pattern of the schema is a regular expression that takes what the check in Go takes.
func TestNamePatternIsTheCheck(t *testing.T) {
	re := regexp.MustCompile(Fields()[0].Pattern)
	for _, name := range []string{"", "a", "A.b_c-9", "9", "-a", ".a", "_", "a/b", "a\n", "ä", strings.Repeat("x", 63), strings.Repeat("x", 64)} {
		if re.MatchString(name) != validName(name) {
			t.Errorf("%q: the pattern says %v, the check %v", name, re.MatchString(name), validName(name))
		}
	}
}
