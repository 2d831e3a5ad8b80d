//go:build embed_stage

package nsexec

import _ "embed"

// stageBinary is the C stage, embedded by `make build`.
//
//go:embed stage.bin
var stageBinary []byte

func loadStage() ([]byte, error) { return stageBinary, nil }
