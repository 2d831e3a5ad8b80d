//go:build tools

// Package validation pins the runtime-tools validation suite, which run.sh builds and runs. It is a module of its own to keep
// the suite's dependencies out of zbox.
package validation

import (
	_ "github.com/opencontainers/runtime-tools/cmd/runtimetest"
	_ "github.com/opencontainers/runtime-tools/validation/util"
)
