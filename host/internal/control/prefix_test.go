package control_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/ironpost/ironpost/host/internal/control"
)

func mustPrefix(t *testing.T, s string) netip.Prefix {
	t.Helper()
	p, err := control.ParsePrefix(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParsePrefix(t *testing.T) {
	tests := []struct{ in, want string }{ // want "" is an error
		{"192.0.2.7", "192.0.2.7/32"},
		{"192.0.2.0/24", "192.0.2.0/24"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"2001:db8::1", "2001:db8::1/128"},
		{"2001:DB8::/32", "2001:db8::/32"},
		{"::ffff:192.0.2.7", "192.0.2.7/32"},
		{"::ffff:192.0.2.0/120", "192.0.2.0/24"},
		{"::ffff:0:0/90", ""},
		{"192.0.2.7/24", ""},
		{"fe80::1%eth0", ""},
		{"192.0.2", ""},
		{"192.0.2.07", ""},
		{"192.0.2.0/33", ""},
		{"192.0.2.0/-1", ""},
		{"example.org", ""},
		{" 192.0.2.7", ""},
		{"", ""},
	}
	for _, tt := range tests {
		got, err := control.ParsePrefix(tt.in)
		switch {
		case tt.want == "" && !errors.Is(err, control.ErrInvalid):
			t.Errorf("%q: got %v, %v, want %v", tt.in, got, err, control.ErrInvalid)
		case tt.want != "" && (err != nil || got.String() != tt.want):
			t.Errorf("%q: got %v, %v, want %s", tt.in, got, err, tt.want)
		}
	}
}

func FuzzParsePrefix(f *testing.F) {
	for _, s := range []string{"192.0.2.7", "::ffff:192.0.2.0/120", "::ffff:0:0/90", "10.0.0.1/8", "fe80::1%x", "::/0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := control.ParsePrefix(s)
		if err != nil {
			return
		}
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			t.Errorf("%q gives %v", s, p)
		}
		if again, err := control.ParsePrefix(p.String()); err != nil || again != p {
			t.Errorf("%q gives %v, which gives %v, %v", s, p, again, err)
		}
	})
}

func TestDefaultSocket(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	tests := []struct {
		name string
		uid  int
		env  func(string) string
		want string
	}{
		{"root", 0, env("XDG_RUNTIME_DIR", "/run/user/0"), "/run/ironpost/ironpost.sock"},
		{"root, other path", 0, env(control.SocketEnv, "/x/y"), "/x/y"},
		{"user", 12345, env("XDG_RUNTIME_DIR", "/run/u"), "/run/u/ironpost/ironpost.sock"},
		{"user, other path", 12345, env("XDG_RUNTIME_DIR", "/run/u", control.SocketEnv, "/x/y"), "/x/y"},
		{"user without runtime directory", 12345, env(), "/tmp/ironpost-12345/ironpost.sock"},
		{"relative runtime directory", 12345, env("XDG_RUNTIME_DIR", "u"), "/tmp/ironpost-12345/ironpost.sock"},
	}
	t.Setenv("TMPDIR", "/tmp")
	for _, tt := range tests {
		if got := control.DefaultSocket(tt.uid, tt.env); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}
