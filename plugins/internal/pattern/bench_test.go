package pattern_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/internal/pattern"
	"github.com/ironpost/ironpost/sdk/event"
)

// BenchmarkApply reads messages by the patterns that are built in.
func BenchmarkApply(b *testing.B) {
	set := builtin(b)
	for _, bc := range []struct{ name, process, message string }{
		{"failed password", "sshd", "Failed password for invalid user admin from 5.36.59.76 port 42393 ssh2"},
		{"pam failure", "sshd", "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=112.95.230.3  user=root"},
		{"sudo", "sudo", "bob : TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/usr/bin/apt update"},
		{"sudo session", "sudo", "pam_unix(sudo:session): session opened for user root(uid=0) by bob(uid=1000)"},
		{"accepted key", "sshd", "Accepted publickey for deploy12 from 119.137.62.142 port 49116 ssh2: ED25519 SHA256:0123456789012345678901234567890123456789012"},
		{"session", "sshd", "pam_unix(sshd:session): session opened for user deploy12(uid=1234) by (uid=0)"},
		{"disconnect", "sshd", "Received disconnect from 119.137.62.142 port 49116:11: disconnected by user; the session of deploy12 had lasted 1234 s, 123456 bytes"},
		{"unknown", "nginx", "something that no one reads"},
	} {
		b.Run(bc.name, func(b *testing.B) { benchmarkApply(b, set, bc.process, bc.message) })
	}
}

// BenchmarkHostile reads what is made to be slow: messages that have many places
// where a field may end, and those that many patterns fit but for their end. A
// message eight times as long takes at most about eight times as long.
func BenchmarkHostile(b *testing.B) {
	for _, bc := range []struct{ name, process, start, repeated, end string }{
		{"tails", "sshd", "Failed publickey for x", " from 192.0.2.7 port 5 ssh2: RSA SHA256:aa", " really"},
		{"certificates", "sshd", "Accepted publickey for x", " from 192.0.2.7 port 5 ssh2: RSA", ""},
		{"commands", "sudo", "bob : TTY=pts/0", " ; PWD=/ ; USER=root ; COMMAND=/bin/sh", ""},
		{"no command", "sudo", "bob : TTY=pts/0", " ; PWD=/ ; USER=root", ""},
		{"remote users", "sshd", "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser=", "x rhost=192.0.2.7  user=", " "},
	} {
		for _, length := range []int{1 << 10, 8 << 10} {
			message := bc.start + strings.Repeat(bc.repeated, (length-len(bc.start))/len(bc.repeated)) + bc.end
			b.Run(fmt.Sprintf("%s/%dKiB", bc.name, length>>10), func(b *testing.B) {
				b.SetBytes(int64(len(message)))
				benchmarkApply(b, builtin(b), bc.process, message)
			})
		}
	}
	var text strings.Builder
	text.WriteString("name: many\nprograms: [many]\npatterns:\n")
	for i := range pattern.MaxAtOnce {
		fmt.Fprintf(&text, "  - pattern: 'the user <user> of <src_ip> did <a> and <b> and thing %d'\n", i)
	}
	file, problem := pattern.Parse("many.yaml", []byte(text.String()))
	if problem != nil {
		b.Fatal(problem)
	}
	set, problem := pattern.Compile(file)
	if problem != nil {
		b.Fatal(problem)
	}
	for _, length := range []int{1 << 10, 8 << 10} {
		message := "the user bob of 192.0.2.7 did " + strings.Repeat("this and that ", length/14)
		b.Run(fmt.Sprintf("500 patterns/%dKiB", length>>10), func(b *testing.B) {
			b.SetBytes(int64(len(message)))
			benchmarkApply(b, set, "many", message)
		})
	}
}

func benchmarkApply(b *testing.B, set *pattern.Set, process, message string) {
	var out event.LogEvent
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		out.Process, out.Message = process, message
		set.Apply(&out)
	}
}
