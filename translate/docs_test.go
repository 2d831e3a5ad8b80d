package translate

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// The tables of docs/sandbox.md are made from Config's tags, from Denied and from ByArgument.
func TestDocumentationIsCurrent(t *testing.T) {
	const path = "../docs/sandbox.md"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := between(t, string(data), "fields", fieldTable())
	text = between(t, text, "denied", deniedTable())
	text = between(t, text, "by argument", argumentTable())
	golden(t, path, []byte(text))
}

// between puts table between the two comments that name it.
func between(t *testing.T, text, name, table string) string {
	t.Helper()
	open := "<!-- " + name + ": written by go test ./translate -update -->\n"
	before, rest, ok := strings.Cut(text, open)
	_, after, closed := strings.Cut(rest, "<!-- /"+name+" -->")
	if !ok || !closed {
		t.Fatalf("the comments around %q are missing", name)
	}
	return before + open + table + "<!-- /" + name + " -->" + after
}

func fieldTable() string {
	var b strings.Builder
	b.WriteString("| field | type | range | default | what |\n|---|---|---|---|---|\n")
	writeFields(&b, Fields())
	return b.String()
}

// writeFields writes a row for each field, those below a field behind it.
func writeFields(b *strings.Builder, fields []Field) {
	for _, f := range fields {
		span, preset := strings.Join(f.Values, ", "), ""
		if f.Type == integerField {
			span = fmt.Sprintf("%d to %d", f.Min, f.Max)
		}
		switch {
		case f.Required:
			preset = "needed"
		case f.Default != "":
			preset = "`" + f.Default + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.Type, span, preset, f.Doc)
		writeFields(b, f.Fields)
	}
}

var errnos = map[syscall.Errno]string{syscall.EPERM: "EPERM", syscall.ENOSYS: "ENOSYS", syscall.EAFNOSUPPORT: "EAFNOSUPPORT"}

func argumentTable() string {
	var b strings.Builder
	b.WriteString("| calls | refused when | returns | why |\n|---|---|---|---|\n")
	for _, g := range ByArgument("amd64") {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", strings.Join(g.Names, "`, `"), g.When, errnos[g.Errno], g.Why)
	}
	return b.String()
}

func deniedTable() string {
	var b strings.Builder
	b.WriteString("| calls | returns | why |\n|---|---|---|\n")
	for _, g := range Denied() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.Join(g.Names, "`, `"), errnos[g.Errno], g.Why)
	}
	return b.String()
}
