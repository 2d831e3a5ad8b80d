// Package architecture checks that docs/architecture.md tells the truth.
package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

func readDoc(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Each function on the road from create to execve is defined in the file that the document names.
func TestRoadFromCreateToExecve(t *testing.T) {
	_, road, found := strings.Cut(readDoc(t), "## The road from `create` to the user's execve\n")
	road, _, _ = strings.Cut(road, "\n## ")
	stops := regexp.MustCompile("(?m)^[0-9]+\\. `(\\w+)` in `([^`]+)`$").FindAllStringSubmatch(road, -1)
	if !found || len(stops) != 8 {
		t.Fatalf("the road has %d stops, want 8", len(stops))
	}
	for _, stop := range stops {
		name, file := stop[1], stop[2]
		source, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Error(err)
			continue
		}
		defines := definesGo
		if strings.HasSuffix(file, ".c") {
			defines = definesC
		}
		if !defines(t, source, name) {
			t.Errorf("%s has no function %s", file, name)
		}
	}
}

// definesGo finds functions and methods.
func definesGo(t *testing.T, source []byte, name string) bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == name {
			return true
		}
	}
	return false
}

func definesC(t *testing.T, source []byte, name string) bool {
	t.Helper()
	return regexp.MustCompile(`(?m)^[\w *]+\b` + name + `\([^;]*$`).Match(source)
}

// Each room of the table is a directory.
func TestRoomsExist(t *testing.T) {
	rooms := regexp.MustCompile("(?m)^\\| `([\\w/]+)/` \\|").FindAllStringSubmatch(readDoc(t), -1)
	if len(rooms) < 9 {
		t.Fatalf("the table has %d rooms", len(rooms))
	}
	for _, room := range rooms {
		if st, err := os.Stat(filepath.Join(root, room[1])); err != nil || !st.IsDir() {
			t.Errorf("%s is no directory: %v", room[1], err)
		}
	}
}

// compile is pure: nothing that it imports can look at the machine. Only the binding to libseccomp needs a file, to export into.
func TestCompileCannotTouchTheMachine(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "compile/*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("compile has no files: %v", err)
	}
	impure := regexp.MustCompile(`^"(os|os/.*|net|net/.*|io/ioutil|syscall|time|math/rand.*|crypto/rand|.*/host)"$`)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "/seccomp_libseccomp.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if impure.MatchString(i.Path.Value) {
				t.Errorf("%s imports %s", filepath.Base(name), i.Path.Value)
			}
		}
	}
}
