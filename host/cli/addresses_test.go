package cli

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/control"
)

// readAll returns what a list says.
func readAll(s string) (networks []string, r *addressReader, err error) {
	r = newAddressReader(strings.NewReader(s), func(p netip.Prefix) error {
		networks = append(networks, p.String())
		return nil
	})
	return networks, r, r.read()
}

func TestReadAddresses(t *testing.T) {
	for _, tt := range []struct {
		name, in, want, wrong string
	}{
		{"empty", "", "", ""},
		{"addresses", "192.0.2.7\n2001:DB8::1\n0.0.0.0/0\n", "192.0.2.7/32 2001:db8::1/128 0.0.0.0/0", ""},
		{"as others write them", "\ufeff# head\r\n192.0.2.7\r\n\r\n\t 2001:DB8::/32;x\n192.0.2.7/32\n::ffff:192.0.2.8", "192.0.2.7/32 2001:db8::/32 192.0.2.7/32 192.0.2.8/32", ""},
		{"Spamhaus DROP", "; Spamhaus DROP List\n1.10.16.0/20 ; SBL256894\n", "1.10.16.0/20", ""},
		{"Spamhaus JSON", `{"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}` + "\n" + `{"type":"metadata","timestamp":1,"records":1}`, "1.10.16.0/20", ""},
		{"FireHOL netset", "#\n# firehol_level1\n#\n0.0.0.0/8\n1.19.0.0/16\n", "0.0.0.0/8 1.19.0.0/16", ""},
		{
			"ranges", "192.0.2.0-192.0.2.255\n192.0.2.1 - 192.0.2.6 # six\n0.0.0.0-255.255.255.255\n192.0.2.9-192.0.2.9",
			"192.0.2.0/24 192.0.2.1/32 192.0.2.2/31 192.0.2.4/31 192.0.2.6/32 0.0.0.0/0 192.0.2.9/32", "",
		},
		{
			"wrong", "x\n192.0.2.256\n10.0.0.1/8\n192.0.2.7/33\n192.0.2.7 x\n01.2.3.4\n1.2.3\n192.0.2.9-192.0.2.8\n::1-::2\n{}\n{\n1.2.3.4/\n1.2.3.4/08\nfe80::1%eth0",
			"", `line 1: "x", line 2: "192.0.2.256", line 3: "10.0.0.1/8", line 4: "192.0.2.7/33", line 5: "192.0.2.7 x", line 6: "01.2.3.4", ` +
				`line 7: "1.2.3", line 8: "192.0.2.9-192.0.2.8", line 9: "::1-::2", line 10: "{}", and 4 more`,
		},
		{"binary", "\x7fELF\x00\xff", "", `line 1: "\x7fELF\x00\xff"`},
		{"long", strings.Repeat("x", 200), "", `line 1: "` + strings.Repeat("x", shownText-1) + `…"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, r, err := readAll(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Fields(tt.want), got, cmp.Transformer("list", func(s []string) string { return strings.Join(s, " ") })); diff != "" {
				t.Errorf("networks (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wrong, r.wrongLines()); diff != "" {
				t.Errorf("wrong lines (-want +got):\n%s", diff)
			}
		})
	}
	for name, in := range map[string]string{
		"a long line":      "192.0.2.7\n" + strings.Repeat("x", maxImportLine+1),
		"a very long line": "192.0.2.7\n" + strings.Repeat("x", 2*readAhead),
	} {
		if _, _, err := readAll(in); !errors.Is(err, control.ErrInvalid) || !strings.Contains(err.Error(), "line 2 is longer than 4096 bytes") {
			t.Errorf("%s: got %v, want invalid input on line 2", name, err)
		}
	}
	for name, r := range map[string]*addressReader{
		"lines":    {line: maxImportLines},
		"bytes":    {size: maxImportBytes},
		"networks": {networks: control.MaxImport},
	} {
		fresh := newAddressReader(strings.NewReader("192.0.2.7\n"), func(netip.Prefix) error { return nil })
		r.lines, r.emit = fresh.lines, fresh.emit
		if err := r.read(); !errors.Is(err, control.ErrInvalid) || !strings.Contains(err.Error(), "more than") {
			t.Errorf("%s: got %v, want that there are too many", name, err)
		}
	}
	full := errors.New("full")
	r := newAddressReader(strings.NewReader("192.0.2.7\n"), func(netip.Prefix) error { return full })
	if err := r.read(); !errors.Is(err, full) {
		t.Errorf("got %v, want the error of emit", err)
	}
}

func FuzzReadAddresses(f *testing.F) {
	for _, s := range []string{
		"192.0.2.7\n", "# x\n;y\n", "10.0.0.1/8", "\xff\x00", "::/0\n::/0", "1.2.3.4-1.2.3.9", "0.0.0.0-255.255.255.255",
		`{"cidr":"1.10.16.0/20"}`, `{"type":"metadata"}`, "255.255.255.255/32", "1.2.3.4/3x", "0.0.0.0/", "1.2.3.4.5", "256.0.0.1", "\ufeff::1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		networks, r, err := readAll(s)
		if err != nil {
			return
		}
		for _, p := range networks {
			if back, err := control.ParsePrefix(p); err != nil || back.String() != p {
				t.Errorf("%q gives %q: %v", s, p, err)
			}
		}
		if n := len(r.wrongLines()); n > maxShown*(4*shownText+40)+40 {
			t.Errorf("the wrong lines take %d bytes", n)
		}
	})
}

// FuzzQuickPrefix holds the quick way to the thorough one.
func FuzzQuickPrefix(f *testing.F) {
	for _, s := range []string{"192.0.2.7", "192.0.2.0/24", "0.0.0.0/0", "1.2.3.4/08", "1.2.3.4/-1", "1..2.3", "1.2.3.4/1:", "1.2.3.04", "00.0.0.0", "1.2.3.4/3/2"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := quickPrefix(b)
		want, err := control.ParsePrefix(string(b))
		if ok && (err != nil || got != want) {
			t.Errorf("%q: got %v, want %v %v", b, got, want, err)
		}
	})
}

func BenchmarkReadAddresses(b *testing.B) {
	var text bytes.Buffer
	const n = 100_000
	for i := range n {
		fmt.Fprintf(&text, "%d.%d.%d.0/24\n", 1+i>>16, i>>8&255, i&255)
	}
	b.ReportAllocs()
	for b.Loop() {
		var packed control.Networks
		r := newAddressReader(bytes.NewReader(text.Bytes()), func(p netip.Prefix) error {
			packed.Add(p)
			return nil
		})
		if err := r.read(); err != nil || packed.Len() != n {
			b.Fatal(err, packed.Len())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/network")
}
