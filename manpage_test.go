package main

import (
	"os"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestManPageNamesEveryCommandAndFlag(t *testing.T) {
	raw, err := os.ReadFile("docs/man/zbox.8")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(string(raw), `\-`, "-")
	_, globals, _ := strings.Cut(page, ".SH GLOBAL OPTIONS")
	requireFlags(t, "zbox", globals, globalFlags())
	for _, c := range commands {
		_, section, ok := strings.Cut(page, ".SS "+c.name+"\n")
		if !ok {
			t.Errorf("the man page has no command %s", c.name)
			continue
		}
		section, _, _ = strings.Cut(section, "\n.SS ")
		requireFlags(t, c.name, section, c.make().Flags)
	}
}

// requireFlags demands every flag that help shows.
func requireFlags(t *testing.T, command, section string, flags []cli.Flag) {
	t.Helper()
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
			continue
		}
		for _, name := range f.Names() {
			dashes := "--"
			if len(name) == 1 {
				dashes = "-"
			}
			if !strings.Contains(section, dashes+name) {
				t.Errorf("the man page does not have %s %s%s", command, dashes, name)
			}
		}
	}
}
