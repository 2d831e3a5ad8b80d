package translate

import (
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
)

// A name becomes a host name, a directory name and part of a cgroup path: 63 bytes is the limit of one label of a host name
// (RFC 1035, 2.3.4), and the first character keeps out "..", hidden files and what looks like a flag.
// Compiled when it is needed: every command of zbox would pay for it otherwise.
var namePattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
})

// maxPath is PATH_MAX without its final zero byte (limits.h).
const maxPath = 4095

// check reports the first value that no sandbox can have, whatever the machine.
func (c *Config) check() error {
	if !namePattern().MatchString(c.Name) {
		return fmt.Errorf("name: %q must be 1 to 63 of a-z A-Z 0-9 . _ - and start with a letter or digit", shorten(c.Name))
	}
	if err := checkPath("binary", c.Binary); err != nil {
		return err
	}
	if err := checkPath("root", c.Root); err != nil {
		return err
	}
	if err := checkRanges(reflect.ValueOf(*c), ""); err != nil {
		return err
	}
	return c.checkPorts()
}

func checkPath(field, path string) error {
	switch {
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("%s: %q holds a zero byte", field, shorten(path))
	case len(path) > maxPath:
		return fmt.Errorf("%s: %q is %d bytes long, longer than %d", field, shorten(path), len(path), maxPath)
	case !filepath.IsAbs(path):
		return fmt.Errorf("%s: %q must be an absolute path", field, shorten(path))
	case filepath.Clean(path) == "/":
		return fmt.Errorf("%s: %q is the host's root directory", field, shorten(path))
	case field == "binary" && strings.HasSuffix(path, "/"):
		return fmt.Errorf("%s: %q names a directory", field, shorten(path))
	}
	return nil
}

// checkPorts reports two forwards of one host port. Two of one sandbox port are fine.
func (c *Config) checkPorts() error {
	first := map[int64]int{}
	for i, p := range c.PortForwards {
		if j, ok := first[p.Host]; ok {
			return fmt.Errorf("port_forwards[%d].host: %d is already forwarded by port_forwards[%d]", i, p.Host, j)
		}
		first[p.Host] = i
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
