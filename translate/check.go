package translate

import (
	"path/filepath"
	"strings"
)

// maxPath is PATH_MAX without its final zero byte (limits.h).
const maxPath = 4095

// check reports the first value that no sandbox can have, whatever the machine. Types and ranges were checked by decode.
func (c *Config) check() error {
	if !validName(c.Name) {
		return wrong("name", "%q must be 1 to 63 of a-z A-Z 0-9 . _ - and start with a letter or digit", shorten(c.Name))
	}
	if err := checkPath("binary", c.Binary); err != nil {
		return err
	}
	if strings.HasSuffix(c.Binary, "/") {
		return wrong("binary", "%q names a directory", shorten(c.Binary))
	}
	if err := checkPath("root", c.Root); err != nil {
		return err
	}
	for _, check := range []func() error{c.checkRoot, c.checkMounts, c.checkProcess, c.checkPorts, c.checkDNS, c.checkSeccomp} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkRoot checks what goes with root.
func (c *Config) checkRoot() error {
	if c.Persist == "" {
		return nil
	}
	if c.ReadonlyRoot {
		return wrong("persist", "keeps what is written to the root, and with readonly_root nothing is")
	}
	return checkPath("persist", c.Persist)
}

// validName: a name becomes a host name, a directory name and part of a cgroup path: 63 bytes is the limit of one label of a host name
// (RFC 1035, 2.3.4), and the first character keeps out "..", hidden files and what looks like a flag.
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		alphanumeric := '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !alphanumeric && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return 0 < len(name) && len(name) <= 63
}

// checkPath takes the absolute paths of anything but the root directory.
func checkPath(field, path string) error {
	switch {
	case strings.ContainsRune(path, 0):
		return wrong(field, "%q holds a zero byte", shorten(path))
	case len(path) > maxPath:
		return wrong(field, "%q is %d bytes long, longer than %d", shorten(path), len(path), maxPath)
	case !filepath.IsAbs(path):
		return wrong(field, "%q must be an absolute path", shorten(path))
	case filepath.Clean(path) == "/":
		return wrong(field, "%q is the host's root directory", shorten(path))
	}
	return nil
}

// shorten keeps a value from filling the screen.
func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
