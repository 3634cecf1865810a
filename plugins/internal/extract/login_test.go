package extract

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

// pieces are what lines are made of here, and what an attacker would try.
var pieces = []string{
	"root", "invalid user ", "illegal user ", "invalid", "user", "from", " from ", "port", " port ", "ssh2", " ssh2", " ssh2: ", "ssh2: ", ": ", ":", " ", "  ",
	"8.8.8.8", "192.0.2.66", "255.255.255.256", "01.2.3.4", "::1", "22", "65535", "65536", "000022", "ED25519 SHA256:aa", "RSA", "SHA256:bb", "SHA256", "[preauth]",
	" by ", "(uid=0)", "(uid=", "(", ")", "\xff", "",
}

// checkLogin holds the ways of reading that look at a line once to those that
// search it.
func checkLogin(t *testing.T, s string) {
	t.Helper()
	for _, method := range []string{"password", "publickey", "hostbased"} {
		var quick, full event.LogEvent
		if !plainLogin(&quick, s, method == "publickey") {
			if len(quick.Fields) != 0 {
				t.Errorf("%s, %q: refused, yet set %v", method, s, quick.Fields)
			}
			continue
		}
		anyLogin(&full, method, s, method != "password")
		if diff := cmp.Diff(full.Fields, quick.Fields); diff != "" {
			t.Errorf("%s, %q (-any +plain):\n%s", method, s, diff)
		}
	}
	if r, n := readRemote(s); n > 0 {
		if ip, port, ok := addressPort(s[:n]); !ok || r != (remote{ip, port}) {
			t.Errorf("%q: got %v, want %q, %q, %v", s, r, ip, port, ok)
		}
		if n < len(s) && isDigit(s[n]) {
			t.Errorf("%q: the port goes on after %d bytes", s, n)
		}
	}
	if at := lastIndex(s, "(uid="); strings.HasSuffix(s, ")") && at >= 0 && isNumber(s[at+len("(uid="):len(s)-1], 10) {
		var got event.LogEvent
		user(&got, "user", "uid", s)
		want := []event.Field{{Key: "uid", Value: s[at+len("(uid=") : len(s)-1]}}
		if at > 0 {
			want = append(want, event.Field{Key: "user", Value: s[:at]})
		}
		if diff := cmp.Diff(want, got.Fields); diff != "" {
			t.Errorf("%q: user (-want +got):\n%s", s, diff)
		}
	}
}

// TestPlainLogin puts every piece into every place of a login.
func TestPlainLogin(t *testing.T) {
	var got event.LogEvent
	if !plainLogin(&got, "invalid user bob from 192.0.2.66 port 22 ssh2: ED25519 SHA256:aa", true) || len(got.Fields) != 4 {
		t.Fatalf("the form itself: got %v, want four fields", got.Fields)
	}
	for _, form := range [][]string{
		{"root", " from ", "192.0.2.66", " port ", "22", " ssh2"},
		{"invalid user ", "root", " from ", "192.0.2.66", " port ", "22", " ssh2"},
		{"root", " from ", "192.0.2.66", " port ", "22", " ssh2", ": ", "ED25519", " ", "SHA256:aa"},
		{"root", "(uid=", "1000", ")", " by ", "(uid=0)"},
	} {
		checkLogin(t, strings.Join(form, ""))
		for at := range len(form) + 1 {
			for _, piece := range pieces {
				checkLogin(t, strings.Join(slices.Insert(slices.Clone(form), at, piece), ""))
				if at == len(form) {
					continue
				}
				changed := slices.Clone(form)
				changed[at] = piece
				checkLogin(t, strings.Join(changed, ""))
				for second := range at {
					for _, other := range pieces {
						changed[second] = other
						checkLogin(t, strings.Join(changed, ""))
						changed[second] = form[second]
					}
				}
			}
		}
	}
}

func FuzzLogin(f *testing.F) {
	for _, s := range []string{
		"root from 192.0.2.66 port 22 ssh2", "invalid user  from 192.0.2.66 port 22 ssh2", "x from 8.8.8.8 from 192.0.2.66 port 22 ssh2",
		"root from 192.0.2.66 port 22 ssh2: RSA SHA256:aa", "root from 192.0.2.66 port 22 ssh2: ssh2: SHA256:aa", "bob(uid=1)", "(uid=1)(uid=2)",
	} {
		f.Add(s)
	}
	f.Fuzz(checkLogin)
}
