package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	sdktest.TestParser(t, sdktest.Value(plugin), sdktest.ParserConfig{Lines: []string{
		`time=2025-11-01T12:00:00Z level=warn msg="disk is nearly full" disk=sda used=97`,
		`CEF:0|Acme|Wall|1.0|100|worm stopped|8|src=192.0.2.7 dst=198.51.100.9 spt=1232 dpt=80 msg=stopped at the gate`,
		"LEEF:2.0|Acme|Wall|1.0|login|^|src=192.0.2.7^usrName=bob^devTime=1761998402000",
	}})
}
