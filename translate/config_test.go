package translate

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// valid is a configuration with one line per field, for tests that change one.
var valid = []string{
	`"name": "box"`,
	`"binary": "/bin/busybox"`,
	`"root": "/srv/box"`,
	`"cpu_cores": 2`,
	`"cpu_limit_percent": 10`,
	`"memory_limit_mb": 3`,
	`"network_access": false`,
	`"port_forwards": []`,
}

// with is valid with line in place of the one for the same field.
func with(line string) string {
	field, _, _ := strings.Cut(line, ":")
	lines := []string{}
	for _, l := range valid {
		if strings.HasPrefix(l, field+":") {
			l = line
		}
		lines = append(lines, l)
	}
	return "{\n" + strings.Join(lines, ",\n") + "\n}"
}

// without is valid without one field.
func without(field string) string {
	lines := []string{}
	for _, l := range valid {
		if !strings.HasPrefix(l, `"`+field+`":`) {
			lines = append(lines, l)
		}
	}
	return "{\n" + strings.Join(lines, ",\n") + "\n}"
}

// preset gives the fields of c that are zero their defaults, as if c had been parsed.
func preset(c *Config) *Config {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if sf := v.Type().Field(i); sf.IsExported() && v.Field(i).IsZero() {
			setDefault(v.Field(i), sf)
		}
	}
	return c
}

func TestParseRefusesWithFieldValueAndRange(t *testing.T) {
	cases := []struct{ name, json, want string }{
		{"cpu_limit_percent above 100", with(`"cpu_limit_percent": 150`), `c.json:6:22: cpu_limit_percent: 150 is out of range 1 to 100`},
		{"cpu_limit_percent zero", with(`"cpu_limit_percent": 0`), `c.json:6:22: cpu_limit_percent: 0 is out of range 1 to 100`},
		{"cpu_cores zero", with(`"cpu_cores": 0`), `c.json:5:14: cpu_cores: 0 is out of range 1 to 8192`},
		{"cpu_cores negative", with(`"cpu_cores": -1`), `c.json:5:14: cpu_cores: -1 is out of range 1 to 8192`},
		{"cpu_cores above every machine", with(`"cpu_cores": 8193`), `c.json:5:14: cpu_cores: 8193 is out of range 1 to 8192`},
		{"memory_limit_mb zero", with(`"memory_limit_mb": 0`), `c.json:7:20: memory_limit_mb: 0 is out of range 1 to 4294967295`},
		{"memory_limit_mb above the seed's type", with(`"memory_limit_mb": 4294967296`), `c.json:7:20: memory_limit_mb: 4294967296 is out of range 1 to 4294967295`},
		{"host port zero", with(`"port_forwards": [{"host": 0, "sandbox": 80}]`), `c.json:9:28: port_forwards[0].host: 0 is out of range 1 to 65535`},
		{"sandbox port too large", with(`"port_forwards": [{"host": 1, "sandbox": 1}, {"host": 2, "sandbox": 65536}]`), `c.json:9:69: port_forwards[1].sandbox: 65536 is out of range 1 to 65535`},
		{"host port twice", with(`"port_forwards": [{"host": 80, "sandbox": 1}, {"host": 80, "sandbox": 2}]`), `c.json:9:56: port_forwards[1].host: 80 is already forwarded by port_forwards[0]`},
		{"host port twice, once for all addresses", with(`"port_forwards": [{"host": 80, "sandbox": 1, "bind": "192.0.2.1"}, {"host": 80, "sandbox": 2}]`), `c.json:9:77: port_forwards[1].host: 80 is already forwarded by port_forwards[0]`},
		{"protocol", with(`"port_forwards": [{"host": 1, "sandbox": 1, "protocol": "sctp"}]`), `c.json:9:57: port_forwards[0].protocol: "sctp" is not one of tcp, udp`},
		{"bind address", with(`"port_forwards": [{"host": 1, "sandbox": 1, "bind": "localhost"}]`), `c.json:9:53: port_forwards[0].bind: "localhost" is not an IPv4 address; sandboxes have no IPv6`},
		{"bind address of IPv6", with(`"port_forwards": [{"host": 1, "sandbox": 1, "bind": "::"}]`), `c.json:9:53: port_forwards[0].bind: "::" is not an IPv4 address; sandboxes have no IPv6`},
		{"dns without network access", with(`"network_access": false, "dns": ["192.0.2.53"]`), `c.json:8:33: dns: no resolver can be asked without network_access`},
		{"dns on loopback", with(`"network_access": true, "dns": ["127.0.0.53"]`), `c.json:8:33: dns[0]: 127.0.0.53 is not an address that a sandbox can reach: inside it is the sandbox itself`},
		{"dns by name", with(`"network_access": true, "dns": ["ns.example"]`), `c.json:8:33: dns[0]: "ns.example" is not an IPv4 address; sandboxes have no IPv6`},
		{"dns more than is looked at", with(`"network_access": true, "dns": ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]`), `c.json:8:32: dns: 4 addresses; programs look at the first 3 only`},
		{"host port missing", with(`"port_forwards": [{"sandbox": 80}]`), `c.json:9:19: port_forwards[0].host: missing; it is a whole number from 1 to 65535`},
		{"name empty", with(`"name": ""`), `c.json:2:9: name: "" must be 1 to 63 of a-z A-Z 0-9 . _ - and start with a letter or digit`},
		{"name that leaves the cgroup", with(`"name": "../x"`), `c.json:2:9: name: "../x" must be 1 to 63 of a-z A-Z 0-9 . _ - and start with a letter or digit`},
		{"name with a newline at its end", with(`"name": "x\n"`), `c.json:2:9: name: "x\n" must be 1 to 63 of a-z A-Z 0-9 . _ - and start with a letter or digit`},
		{"name of 64 bytes", with(`"name": "` + strings.Repeat("x", 64) + `"`), `c.json:2:9: name: "` + strings.Repeat("x", 64) + `" must be 1 to 63 of a-z A-Z 0-9 . _ - and start with a letter or digit`},
		{"name of a screenful", with(`"name": "` + strings.Repeat("x", 1000) + `"`), `c.json:2:9: name: "` + strings.Repeat("x", 80) + `..." must be 1 to 63 of a-z A-Z 0-9 . _ - and start with a letter or digit`},
		{"binary relative", with(`"binary": "busybox"`), `c.json:3:11: binary: "busybox" must be an absolute path`},
		{"binary a directory by its slash", with(`"binary": "/bin/"`), `c.json:3:11: binary: "/bin/" names a directory`},
		{"binary the root directory", with(`"binary": "/"`), `c.json:3:11: binary: "/" is the host's root directory`},
		{"binary without a name of its own", with(`"binary": "/bin/.."`), `c.json:3:11: binary: "/bin/.." is the host's root directory`},
		{"root relative", with(`"root": "srv"`), `c.json:4:9: root: "srv" must be an absolute path`},
		{"root empty", with(`"root": ""`), `c.json:4:9: root: "" must be an absolute path`},
		{"root of the host", with(`"root": "/"`), `c.json:4:9: root: "/" is the host's root directory`},
		{"root of the host in other words", with(`"root": "//tmp/../."`), `c.json:4:9: root: "//tmp/../." is the host's root directory`},
		{"root with a zero byte", with(`"root": "/srv\u0000"`), `c.json:4:9: root: "/srv\x00" holds a zero byte`},
		{"root longer than PATH_MAX", with(`"root": "/` + strings.Repeat("x", 4095) + `"`), `c.json:4:9: root: "/` + strings.Repeat("x", 79) + `..." is 4096 bytes long, longer than 4095`},
		{"name missing", without("name"), `c.json:1:1: name: missing; it is a string`},
		{"memory_limit_mb missing", without("memory_limit_mb"), `c.json:1:1: memory_limit_mb: missing; it is a whole number from 1 to 4294967295`},
		{"cpu_cores null", with(`"cpu_cores": null`), `c.json:1:1: cpu_cores: missing; it is a whole number from 1 to 8192`},
		{"a field with a typing error", with(`"name": "x", "cpu_core": 2`), `c.json:2:14: unknown field "cpu_core", did you mean "cpu_cores"?`},
		{"a field like none of a few", with(`"name": "x", "workspace": {"src": "/x"}`), `c.json:2:28: workspace: unknown field "src"; there are source and target`},
		{"a switch with another word", with(`"name": "x", "terminal": "yes"`), `c.json:2:26: terminal: "yes" is not true, false or "auto"`},
		{"a field like none", "{\n  \"zzz\": 1}", `c.json:2:3: unknown field "zzz"`},
		{"an unknown field of a list's entry", with(`"port_forwards": [{"host": 1, "sandbx": 2}]`), `c.json:9:31: port_forwards[0]: unknown field "sandbx", did you mean "sandbox"?`},
		{"a field in capitals", with(`"name": "x", "Binary": "/bin/x"`), `c.json:2:14: unknown field "Binary", did you mean "binary"?`},
		{"a number as text", with(`"cpu_cores": "2"`), `c.json:5:14: cpu_cores: a whole number from 1 to 8192 is needed, not a string`},
		{"a fraction", with(`"cpu_cores": 0.5`), `c.json:5:14: cpu_cores: 0.5 is not a whole number from 1 to 8192`},
		{"a number too large for anything", with(`"memory_limit_mb": 1e30`), `c.json:7:20: memory_limit_mb: 1e30 is not a whole number from 1 to 4294967295`},
		{"a field twice", with(`"name": "x", "name": "y"`), `c.json:2:14: name: given twice`},
		{"a field of an entry twice", with(`"port_forwards": [{"host": 1, "sandbox": 2, "host": 1}]`), `c.json:9:45: port_forwards[0].host: given twice`},
		{"no object", "[]", `c.json:1:1: an object is needed, not a list`},
		{"null", "null", `c.json:1:1: an object is needed, not null`},
		{"null for an entry", with(`"port_forwards": [null]`), `c.json:9:19: port_forwards[0]: an object is needed, not null`},
		{"nothing", "", `c.json:1:1: the file is empty`},
		{"a comma too many", "{\n\"name\": \"x\",\n}", `c.json:3:1: a comma with nothing behind it, which JSON does not have`},
		{"a comment", "{\n// my sandbox\n\"name\": \"x\"}", `c.json:2:1: a comment, which JSON does not have`},
		{"a comment in a line", with(`"cpu_cores": 2 # two`), `c.json:5:16: cpu_cores: a comment, which JSON does not have`},
		{"a comma behind the last of a list", with(`"port_forwards": [{"host": 1, "sandbox": 1},]`), `c.json:9:45: port_forwards[1]: a comma with nothing behind it, which JSON does not have`},
		{"single quotes", "{'name': 'x'}", `c.json:1:2: strings are in ", not in '`},
		{"a byte order mark", "\ufeff{}", `c.json:1:1: a byte order mark: save the file as UTF-8 without one`},
		{"UTF-16", "\xff\xfe{\x00}\x00", `c.json:1:1: UTF-16: save the file as UTF-8`},
		{"bytes that are no UTF-8", with(`"name": "x", "args": ["a` + "\xff" + `"]`), `c.json:2:25: no UTF-8: byte 0xff`},
		{"half a character of UTF-16", with(`"name": "x", "args": ["a\ud800"]`), `c.json:2:23: args[0]: no character: half of a surrogate pair`},
		{"two values", with(`"name": "x"`) + "{}", `c.json:10:2: invalid character '{' after top-level value`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("c.json", []byte(tc.json))
			// The excerpt of the file that may follow is package spec's.
			if got, _, _ := strings.Cut(fmt.Sprint(err), ", at: "); got != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestParseTakesOptionalFieldsAbsentOrNull(t *testing.T) {
	for _, json := range []string{without("network_access"), with(`"network_access": null`), without("port_forwards"), with(`"port_forwards": null`)} {
		c, err := Parse("c.json", []byte(json))
		if err != nil {
			t.Errorf("%s: %v", json, err)
			continue
		}
		if c.NetworkAccess || len(c.PortForwards) != 0 {
			t.Errorf("%s: got %+v", json, c)
		}
	}
}

func TestLoadTakesTheSeedsExample(t *testing.T) {
	c, err := Load("../examples/sandbox.json")
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "zbox-sandbox" || c.Binary != "/bin/busybox" || c.Root != "/tmp/zbox_root" || c.CPUCores != 2 || c.CPULimitPercent != 10 ||
		c.MemoryLimitMB != 3 || !c.NetworkAccess || len(c.PortForwards) != 2 || c.PortForwards[1] != (PortForward{Host: 2222, Sandbox: 22, Protocol: "tcp", Bind: "0.0.0.0"}) {
		t.Errorf("got %+v", c)
	}
}

func TestLoadReadsAPipeToItsEnd(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		// In pieces: a single read would see the first one only.
		for _, b := range []byte(with(`"name": "piped"`)) {
			_, _ = w.Write([]byte{b})
		}
		w.Close()
	}()
	stdin := os.Stdin
	os.Stdin = r
	defer func() { os.Stdin = stdin; r.Close() }()
	c, err := Load("-")
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "piped" {
		t.Errorf("got %+v", c)
	}
}

func TestLoadRefuses(t *testing.T) {
	large := filepath.Join(t.TempDir(), "large.json")
	if err := os.WriteFile(large, []byte(with(`"name": "x"`)+strings.Repeat(" ", maxConfigSize)), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ name, path, want string }{
		{"a file that is not there", "/nonexistent/c.json", "reading the configuration: open /nonexistent/c.json: no such file or directory"},
		{"no name", "", "the name of the configuration is empty"},
		{"a directory", "/", "reading the configuration: read /: is a directory"},
		{"an endless file", "/dev/zero", "/dev/zero: larger than 1048576 bytes"},
		{"more than 1 MiB", large, large + ": larger than 1048576 bytes"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Load(tc.path)
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

// FuzzParse: whatever the bytes, Parse ends, and what it takes is a sandbox that Spec can describe.
func FuzzParse(f *testing.F) {
	f.Add([]byte(with(`"name": "x"`)))
	f.Add([]byte(with(`"port_forwards": [{"host": 1, "sandbox": 2}, {"host": 2, "sandbox": 2}]`)))
	f.Add([]byte(`{"name": "x", "port": 1}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("c.json", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "c.json:") {
				t.Errorf("the message does not name the file: %v", err)
			}
			return
		}
		s, _, err := c.Spec(nil, Options{Arch: "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		if q := *s.Linux.Resources.CPU.Quota; q < 1000 {
			t.Errorf("quota %d is below the kernel's minimum of 1000", q)
		}
		if *s.Linux.Resources.Memory.Limit <= 0 || s.Hostname == "" || strings.ContainsAny(s.Process.Args[0], "\x00") {
			t.Errorf("accepted %+v", c)
		}
	})
}
