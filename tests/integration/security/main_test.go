package security

import (
	"testing"

	"github.com/bxrne/zbox/tests/integration"
)

func TestMain(m *testing.M) { integration.Main(m) }
