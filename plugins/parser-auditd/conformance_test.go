package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	sdktest.TestParser(t, sdktest.Value(plugin), sdktest.ParserConfig{Lines: []string{
		`type=SYSCALL msg=audit(1761998400.579:2995): arch=c000003e syscall=59 success=yes exit=0 ppid=26843 pid=27032 auid=1000 uid=1000 tty=pts2 comm="perl" exe="/usr/bin/perl" key=(null)`,
		`type=EXECVE msg=audit(1761998400.579:2995): argc=2 a0="perl" a1=2D65206964`,
		`type=USER_AUTH msg=audit(1761998401.100:2996): pid=77 uid=0 auid=4294967295 ses=4294967295 msg='op=PAM:authentication acct="root" exe="/usr/sbin/sshd" hostname=192.0.2.7 addr=192.0.2.7 terminal=ssh res=failed'`,
	}})
}
