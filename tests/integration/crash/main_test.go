package crash

import (
	"os"
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == tracerName {
		os.Exit(tracerMain(os.Args[2:]))
	}
	integration.Main(m)
}
