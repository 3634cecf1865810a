package main_test

import (
	"os"
	"testing"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// TestMain builds the host and every plugin once for all end-to-end tests.
func TestMain(m *testing.M) { os.Exit(hosttest.Main(m)) }
