package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/host/internal/xdp"
)

func TestJIT(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		content string
		want    Verdict
	}{
		"on":            {"1\n", OK},
		"on, and shown": {"2\n", OK},
		"off":           {"0\n", Warn},
		"absent":        {"", Warn},
	} {
		path := filepath.Join(dir, name)
		if c.content != "" {
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := jit(path); got.Verdict != c.want || (got.Mend == "") != (c.want == OK) {
			t.Errorf("%s: got %+v, want %s", name, got, c.want)
		}
	}
}

func TestNative(t *testing.T) {
	lo := xdp.Support{Interface: "lo", Up: true, Loopback: true}
	for name, c := range map[string]struct {
		all   []xdp.Support
		err   error
		want  Verdict
		found string
	}{
		"an old kernel":   {nil, fmt.Errorf("ask drivers: %w", xdp.ErrUnsupported), Warn, "unknown until a filter is attached"},
		"nothing but lo":  {[]xdp.Support{lo}, nil, Warn, "no interface is up"},
		"a native driver": {[]xdp.Support{lo, {Interface: "eth0", Up: true, Native: true}}, nil, OK, "eth0"},
		"one that is down": {
			[]xdp.Support{{Interface: "eth0", Native: true}, {Interface: "eth1", Up: true}}, nil, Warn, "generic, slower: eth1",
		},
		"a bond with a port without": {
			[]xdp.Support{
				{Interface: "eth0", Up: true, Native: true},
				{Interface: "bond0", Up: true, Why: "a bond in mode broadcast has no native mode"},
			}, nil, OK, "eth0; generic, slower: bond0 (a bond in mode broadcast has no native mode)",
		},
	} {
		got := native(c.all, c.err)
		if got.Verdict != c.want || !strings.HasPrefix(got.Found, c.found) || (got.Mend == "") != (c.want == OK) {
			t.Errorf("%s: got %+v, want %s, %q", name, got, c.want, c.found)
		}
	}
}

func TestBPFFS(t *testing.T) {
	if got := bpffs(t.TempDir()); got.Verdict != Warn || !strings.Contains(got.Mend, "mount -t bpf") {
		t.Errorf("got %+v of a folder, want a warning and how to mount a bpffs", got)
	}
}
