package translate

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The fields of zbox-sandbox(5) are made from Config's tags.
func TestManPageIsCurrent(t *testing.T) {
	const path, open, end = "../docs/man/zbox-sandbox.5", ".\\\" fields\n", ".\\\" /fields\n"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), open)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatal("the comments around the fields are missing")
	}
	var b strings.Builder
	writeManFields(&b, Fields())
	golden(t, path, []byte(before+open+b.String()+end+after))
}

func writeManFields(b *strings.Builder, fields []Field) {
	escape := strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace
	for _, f := range fields {
		kind := string(f.Type)
		if f.Type == integerField {
			kind += fmt.Sprintf(", %d to %d", f.Min, f.Max)
		}
		if f.Values != nil {
			kind += ": " + strings.Join(f.Values, ", ")
		}
		switch {
		case f.Required:
			kind += ", needed"
		case f.Default != "":
			kind += ", default " + f.Default
		}
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR (%s)\n%s\n", escape(f.Name), escape(kind), escape(f.Doc))
		writeManFields(b, f.Fields)
	}
}
