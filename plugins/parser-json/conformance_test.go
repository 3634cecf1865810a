package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	sdktest.TestParser(t, sdktest.Value(plugin), sdktest.ParserConfig{Lines: []string{
		`{"time":"2025-11-01T12:00:00.123Z","level":"warn","msg":"disk is nearly full","host":"web1","disk":{"used":97}}`,
		`{"__REALTIME_TIMESTAMP":"1761998400000000","_HOSTNAME":"web1","SYSLOG_IDENTIFIER":"sshd","_PID":"4242","PRIORITY":"6","MESSAGE":"Failed password for root from 192.0.2.7 port 36300 ssh2"}`,
		`{"timestamp":1761998401,"message":"bytes","data":[1,2,3]}`,
	}})
}
