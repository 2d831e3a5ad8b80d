package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

const (
	conf4 = "/proc/sys/net/ipv4/conf"
	conf6 = "/proc/sys/net/ipv6/conf"
)

// closedUplinks are those of the links that do not forward what they receive; none when the whole host is a router. The kernel asks the
// link that a packet arrives on, so it takes the sandbox's own and those where answers and clients come from.
func closedUplinks(links []string) ([]string, error) {
	all, err := readSwitch("all")
	if err != nil || all {
		return nil, err
	}
	var closed []string
	for _, link := range links {
		on, err := readSwitch(link)
		if err != nil {
			return nil, err
		}
		if !on {
			closed = append(closed, link)
		}
	}
	return closed, nil
}

// readSwitch: a link that is not there any more is as good as one that forwards.
func readSwitch(link string) (bool, error) {
	data, err := os.ReadFile(filepath.Join(conf4, link, "forwarding"))
	if errors.Is(err, os.ErrNotExist) && link != "all" {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking whether %s forwards: %w", link, err)
	}
	return len(data) > 0 && data[0] != '0', nil
}

func switchForwarding(links []string, on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	for _, link := range links {
		err := writeSetting(conf4, link, "forwarding", value)
		// The link went, and its setting with it.
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// restoreForwarding switches it off again, unless the whole host has become a router meanwhile: docker makes it one.
func restoreForwarding(links []string) error {
	if len(links) == 0 {
		return nil
	}
	all, err := readSwitch("all")
	if err != nil || all {
		return err
	}
	return switchForwarding(links, false)
}

func writeSetting(conf, link, key, value string) error {
	path := filepath.Join(conf, link, key)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("setting %s to %s: %w", path, value, err)
	}
	return nil
}

// union is both lists, each entry once, in order.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// without is a but for what is in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
