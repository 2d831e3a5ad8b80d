package architecture

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testFunctions are the names of all tests, by package: the ending of a file's name is what go(1) goes by.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	define := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		for _, m := range define.FindAllSubmatch(source, -1) {
			found[string(m[1])] = true
		}
		return err
	})
	if err != nil || len(found) < 100 {
		t.Fatalf("%d tests: %v", len(found), err)
	}
	return found
}

// A document that names a test as proof names one that there is.
func TestTestsInTheDocumentsExist(t *testing.T) {
	tests := testFunctions(t)
	documents, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil || len(documents) == 0 {
		t.Fatal(documents, err)
	}
	for _, path := range documents {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(text, -1) {
			if !tests[string(m[1])] {
				t.Errorf("%s names %s, which is not there", filepath.Base(path), m[1])
			}
		}
	}
}

// Every weakness of the seed has its row in docs/sandbox.md, and every row its test.
func TestEveryWeaknessOfTheSeedHasATest(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/sandbox.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## The seed's weaknesses\n")
	rows := regexp.MustCompile(`(?m)^\| ([0-9]+) \|.*$`).FindAllStringSubmatch(table, -1)
	if len(rows) != 44 {
		t.Fatalf("%d rows", len(rows))
	}
	for i, row := range rows {
		if row[1] != fmt.Sprint(i+1) || !strings.Contains(row[0], "`Test") {
			t.Errorf("row %d: %s", i+1, row[0])
		}
	}
}
