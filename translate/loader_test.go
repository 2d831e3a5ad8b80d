package translate

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

// program builds one that prints 7 by way of libx.so, which the flags make it find, in the given directory below the returned one.
func programWithLibrary(t *testing.T, compiler, libraryDir string, flags ...string) string {
	t.Helper()
	dir := integration.PublicDir(t)
	for _, d := range []string{"bin", libraryDir} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"x.c": "int x(void) { return 7; }\n", "main.c": "#include <stdio.h>\nint x(void); int main(void) { printf(\"%d\\n\", x()); return 0; }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	at := func(flag string) string { return strings.ReplaceAll(flag, "DIR", dir) }
	build := func(args ...string) {
		if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", compiler, args, err, out)
		}
	}
	build("-shared", "-fPIC", "-Wl,-soname,libx.so", "-o", filepath.Join(dir, libraryDir, "libx.so"), dir+"/x.c")
	args := []string{"-o", dir + "/bin/main", dir + "/main.c", filepath.Join(dir, libraryDir, "libx.so")}
	for _, flag := range flags {
		args = append(args, at(flag))
	}
	build(args...)
	return dir
}

// runsByItself guards the tests below: what does not run on the host either proves nothing.
func runsByItself(t *testing.T, program string) {
	t.Helper()
	if out, err := exec.Command(program).CombinedOutput(); err != nil || string(out) != "7\n" {
		t.Fatalf("on the host: %q, %v", out, err)
	}
}

func runsInASandbox(t *testing.T, program string) {
	t.Helper()
	c := box()
	c.Binary = program
	if out, code := run(t, c, "x"); out != "7\n" || code != 0 {
		t.Errorf("%s: exit code %d, output %q", program, code, out)
	}
}

func TestLibrariesAreFoundByTheTokensOfTheLoader(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the directories are those of x86_64")
	}
	lib, err := exec.Command("gcc", "-print-multiarch").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		dirs []string // where the library is
		path string   // RUNPATH
	}{
		"LIB":      {[]string{"opt/lib/" + strings.TrimSpace(string(lib))}, "$ORIGIN/../opt/$LIB"},
		"{LIB}":    {[]string{"opt/lib/" + strings.TrimSpace(string(lib))}, "${ORIGIN}/../opt/${LIB}"},
		"PLATFORM": {[]string{"opt/haswell", "opt/x86_64", "opt/xeon_phi"}, "$ORIGIN/../opt/$PLATFORM"},
		"hwcaps":   {[]string{"opt/glibc-hwcaps/x86-64-v2"}, "$ORIGIN/../opt"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := programWithLibrary(t, "gcc", test.dirs[0], "-Wl,--enable-new-dtags,-rpath,"+test.path)
			for _, also := range test.dirs[1:] {
				if out, err := exec.Command("cp", "-r", filepath.Join(dir, test.dirs[0]), filepath.Join(dir, also)).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			runsByItself(t, dir+"/bin/main")
			runsInASandbox(t, dir+"/bin/main")
		})
	}
}

// musl's loader has a file with the directories where it looks, and takes every RUNPATH for an RPATH.
func TestLibrariesOfMuslAreFound(t *testing.T) {
	loaders, err := filepath.Glob("/lib/ld-musl-*.so.1")
	if err != nil || len(loaders) != 1 {
		t.Fatalf("%v, %v: install musl-tools", loaders, err)
	}
	loader := filepath.Base(loaders[0])
	dir := programWithLibrary(t, "musl-gcc", "opt/two", "-Wl,--dynamic-linker=DIR/lib/"+loader)
	if err := os.MkdirAll(dir+"/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkdir", dir + "/lib"}, {"cp", "-L", loaders[0], dir + "/lib/" + loader}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	file := dir + "/etc/" + strings.TrimSuffix(loader, ".so.1") + ".path"
	if err := os.WriteFile(file, []byte(dir+"/one\n"+dir+"/opt/one:"+dir+"/opt/two\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	runsByItself(t, dir+"/bin/main")
	runsInASandbox(t, dir+"/bin/main")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c := box()
	c.Binary = dir + "/bin/main"
	_, err = c.gather(self())
	if want := c.Binary + " needs the library libx.so, which this host does not have: install it"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// What a library needs is looked for by the RUNPATH of the program with musl, and not with glibc.
func TestSearchListFollowsTheLoader(t *testing.T) {
	main := &elfObject{elfFile: &elfFile{runpath: []string{"/run"}, hasRunpath: true}}
	lib := &elfObject{elfFile: &elfFile{rpath: []string{"/own", "$ORIGIN/$LIB", "relative"}}, host: "/h", inside: "/i", loader: main}
	for name, test := range map[string]struct {
		loader loader
		want   []place
	}{
		"glibc": {loader{lib: "lib64"}, []place{{host: "/own", inside: "/own"}, {host: "/h/lib64", inside: "/i/lib64"}}},
		"musl":  {loader{musl: true}, []place{{host: "/run", inside: "/run"}}}, // a list with $LIB is none
	} {
		if got := test.loader.searchList(lib); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}
