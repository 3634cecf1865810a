package iplist

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// show writes the spans of a list.
func show(l *List) string {
	var out []string
	for _, s := range l.v4 {
		out = append(out, fmt.Sprintf("%v-%v", addr4(s.first), addr4(s.last)))
	}
	for _, s := range l.v6 {
		out = append(out, fmt.Sprintf("%v-%v", addr6(s.first), addr6(s.last)))
	}
	return strings.Join(out, " ")
}

func addr4(k key4) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(k >> 24), byte(k >> 16), byte(k >> 8), byte(k)}) //nolint:gosec // its bytes
}

func addr6(k key6) netip.Addr {
	var b [16]byte
	for i := range 8 {
		b[i], b[8+i] = byte(k.high>>(56-8*i)), byte(k.low>>(56-8*i)) //nolint:gosec // their bytes
	}
	return netip.AddrFrom16(b)
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
	}{
		{"addresses", "192.0.2.7\n2001:DB8::1\n", "192.0.2.7-192.0.2.7 2001:db8::1-2001:db8::1"},
		{"as others write them", "\ufeff# head\r\n192.0.2.7\r\n\r\n\t 2001:DB8::/32;x\n::ffff:192.0.2.8", "192.0.2.7-192.0.2.8 2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"Spamhaus DROP", "; Spamhaus DROP List\n; Expires: never\n1.10.16.0/20 ; SBL256894\n", "1.10.16.0-1.10.31.255"},
		{"Spamhaus JSON", `{"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}` + "\n" + `{"type":"metadata","timestamp":1,"records":1}`, "1.10.16.0-1.10.31.255"},
		{"FireHOL netset, with bogons", "#\n# firehol_level1\n#\n0.0.0.0/8\n10.0.0.0/8\n1.19.0.0/16\n192.168.0.0/16\n224.0.0.0/3\n", "1.19.0.0-1.19.255.255"},
		{"part of an inner network", "10.1.2.0/24\nfd00::/16\n", "10.1.2.0-10.1.2.255 fd00::-fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"wider than lists are", "2.0.0.0/7\n2000::/3\n192.0.2.1\n", "192.0.2.1-192.0.2.1"},
		{"joined", "192.0.2.0/25\n192.0.2.128/25\n192.0.2.3\n192.0.3.0\n255.0.0.0\n", "192.0.2.0-192.0.3.0 255.0.0.0-255.0.0.0"},
		{"ranges", "192.0.2.1 - 192.0.2.6 # six\n", "192.0.2.1-192.0.2.6"},
		{"an odd line", strings.Repeat("192.0.2.1\n", 99) + "x", "192.0.2.1-192.0.2.1"},
		{"an error page", "<html>\n<body>\nNot found\n", `line 1: "<html>" is no address, network (192.0.2.0/24) or range; 3 of 3 lines are wrong`},
		{"bits behind the network", "192.0.2.1/24\n", `line 1: "192.0.2.1/24" is no address, network (192.0.2.0/24) or range`},
		{"a zone", "fe80::1%eth0\n", `line 1: "fe80::1%eth0" is no address, network (192.0.2.0/24) or range`},
		{"backwards", "192.0.2.9-192.0.2.8\n", `line 1: "192.0.2.9-192.0.2.8" is no address, network (192.0.2.0/24) or range`},
		{"JSON of something else", `{"ip":"192.0.2.1"}`, `line 1: "{\"ip\":\"192.0.2.1\"}" is no JSON object with a network in cidr`},
		{"JSON cut short", `{"cidr":"1.10.16.0/20"}` + "\n" + `{"type":"metadata","records":1500}`, "it says that it has 1500 records, and 1 are in it; fetch it anew"},
		{"nothing", "# nothing but this\n", "it holds no entry; a list that is to end is removed, or its path taken out of the configuration"},
		{"a long line", strings.Repeat("x", 5000), "line 1: the line is longer than 4096 bytes; is this a list of addresses?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Parse([]byte(tt.in))
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = show(l)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	l, err := Parse([]byte("10.0.0.0/8\n2.0.0.0/7\n" + strings.Repeat("192.0.2.1\n", 200) + "x\n"))
	if err != nil || l.Inner != 1 || l.Wide != 1 || l.Entries.Wrong != 1 || l.Entries.First.Line != 203 {
		t.Errorf("got %+v, %v, want one inner, one wide, one wrong on line 203", l, err)
	}
}

// naive is what a list means: networks one by one.
func naive(text string) (out []netip.Prefix) {
	for f := range strings.FieldsSeq(text) {
		if p, ok := ParsePrefix(f); ok {
			out = append(out, p)
		}
	}
	return out
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"192.0.2.7\n", "# x\n;y\n", "10.0.0.1/8", "\xff\x00", "::/0\n::/0", "1.2.3.4-1.2.3.9", "0.0.0.0-255.255.255.255",
		`{"cidr":"1.10.16.0/20"}`, `{"type":"metadata"}`, `{"type":"metadata","records":-1}`, "255.255.255.255/32", "\ufeff::1",
		"2001:db8::/32\n2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			if len(err.Error()) > 400 {
				t.Errorf("the error takes %d bytes", len(err.Error()))
			}
			return
		}
		x, err := (*Index)(nil).With("l", l)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range l.v4 {
			if s.last < s.first || len(x.Names(x.Lookup(addr4(s.first)))) != 1 || len(x.Names(x.Lookup(addr4(s.last)))) != 1 {
				t.Errorf("%q: the ends of %v are not on the list", b, s)
			}
		}
		for _, s := range l.v6 {
			if s.last.less(s.first) || len(x.Names(x.Lookup(addr6(s.first)))) != 1 || len(x.Names(x.Lookup(addr6(s.last)))) != 1 {
				t.Errorf("%q: the ends of %v are not on the list", b, s)
			}
		}
	})
}
