//go:build !cgo

package compile

import (
	"errors"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Filter compiles a seccomp profile. This zbox was built without cgo, so it cannot.
func Filter(*specs.LinuxSeccomp) ([]byte, error) {
	return nil, errors.New("this zbox was built with CGO_ENABLED=0, without libseccomp, and cannot compile seccomp profiles")
}

// FilterCompiler names what Filter depends on, for keys of caches.
func FilterCompiler() string { return "none" }

// LibseccompVersion is "": there is none.
func LibseccompVersion() string { return "" }

// FilterArchitectures lists the architectures that Filter takes: none.
func FilterArchitectures() []string { return nil }

// KnownSystemCall is true: nobody knows better.
func KnownSystemCall(string) bool { return true }
