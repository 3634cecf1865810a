package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	sdktest.TestParser(t, sdktest.Value(plugin), sdktest.ParserConfig{Lines: []string{
		"<38>1 2025-11-01T12:00:00.123456Z web1 sshd 4242 - - Failed password for root from 192.0.2.7 port 36300 ssh2",
		`<165>1 2025-11-01T12:00:01+01:00 web1 app 7 ID47 [example@32473 key="value \"quoted\""] started`,
		"<86>Nov  1 12:00:02 web1 sudo:    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/id",
		"Nov  1 12:00:03 web1 sshd[4243]: Invalid user admin from 2001:db8::7 port 4711",
	}})
}
