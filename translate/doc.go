// Package translate turns the zbox JSON configuration, the file of `zbox -c FILE`, into an OCI bundle.
//
// The flow of `zbox -c FILE [-- ARGS]`:
//
//	cfg, err := translate.Load(path)              // "-" is standard input; the error names file, field, value and range
//	opts, err := translate.HostOptions()          // ids of the caller, subordinate ids, cgroup version
//	opts.Terminal = stdin is a terminal           // the caller decides; opts.Term is then $TERM
//	warnings, err := cfg.Bundle(dir, args, opts)  // writes dir/config.json and dir/rootfs; print the warnings
//	run the bundle, remove dir
//
// Config is the one source of the configuration: its struct tags carry the ranges, the defaults and the documentation
// (Fields), and the checks, the table in docs/sandbox.md and the suggestions for unknown fields are made from them. A new
// field is a new struct field with its tags, and what it does in Spec.
//
// Parse and Spec are pure. Load, HostOptions and Bundle read the machine, and only Bundle writes, into a directory of its own.
package translate
