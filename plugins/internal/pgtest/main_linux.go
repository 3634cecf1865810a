package pgtest

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Main is TestMain for tests that share one server: it hands the server to set, runs
// the tests, looks for goroutines that they left, and returns the status to exit
// with. Without PostgreSQL it hands over nil: Need skips then.
func Main(m *testing.M, c Config, set func(*Server)) int {
	server, err := Start(c)
	if err != nil && !errors.Is(err, ErrAbsent) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	set(server)
	code := m.Run()
	if server != nil {
		if err := server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// Need returns the server, or skips the test where there is none.
func Need(t testing.TB, s *Server) *Server {
	t.Helper()
	if s == nil {
		t.Skip(ErrAbsent)
	}
	return s
}
