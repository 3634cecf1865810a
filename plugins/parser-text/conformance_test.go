package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	sdktest.TestParser(t, sdktest.Value(plugin), sdktest.ParserConfig{Lines: []string{
		`2025-11-01T12:00:00.861934Z 344 [Note] Access denied for user 'root'@'192.0.2.7' (using password: YES)`,
		`2025-11-01 12:00:01.425 UTC [4321] bob@wages FATAL:  password authentication failed for user "bob"`,
		`Sat Nov  1 12:00:02 2025 [pid 1234] [bob] FAIL LOGIN: Client "192.0.2.7"`,
	}})
}
