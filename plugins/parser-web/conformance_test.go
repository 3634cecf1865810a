package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	sdktest.TestParser(t, sdktest.Value(plugin), sdktest.ParserConfig{Lines: []string{
		`192.0.2.7 - bob [01/Nov/2025:12:00:00 +0000] "GET /index.html?a=1 HTTP/1.1" 200 512 "-" "curl/8.0"`,
		`2025/11/01 12:00:01 [error] 334#334: *338 open() "/srv/x" failed (2: No such file or directory), client: 192.0.2.7, server: example.com, request: "GET /x HTTP/1.1", host: "example.com"`,
		`[Sat Nov 01 12:00:02.123456 2025] [core:error] [pid 123:tid 456] [client 192.0.2.7:5678] AH00037: Symbolic link not allowed`,
	}})
}
