package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/libzbox"
	"github.com/bxrne/zbox/spec"
)

// Set by the linker (Makefile).
var (
	version = "0.1.0-dev"
	commit  = ""
)

// printVersion prints what engines parse: docker takes any line with the word "version" for the version, and wants a commit line.
func printVersion(w io.Writer) error {
	_, err := fmt.Fprintf(w, "zbox version %s\ncommit: %s\nspec: %s\ngo: %s\nlibseccomp: %s\n",
		version, builtCommit(), specs.Version, runtime.Version(), seccompVersion())
	return err
}

// builtCommit is the linker's, or else what the go command recorded.
func builtCommit() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// seccompVersion is that of the libseccomp that zbox is linked with.
func seccompVersion() string {
	rt, err := libzbox.New(libzbox.Options{Root: "/run/zbox"})
	if err != nil {
		return "unknown"
	}
	features, err := rt.Features(version)
	if err != nil || features.Annotations[spec.AnnotationLibseccomp] == "" {
		return "unknown"
	}
	return features.Annotations[spec.AnnotationLibseccomp]
}
