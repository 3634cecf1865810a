package supervise

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/host/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main() // the sandbox runs this binary as its shim
	goleak.VerifyTestMain(m)
}
