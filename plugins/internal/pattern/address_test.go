package pattern

import (
	"net/netip"
	"strings"
	"testing"
)

// leadingIPv4 is ipv4 as it is defined.
func leadingIPv4(s string) int {
	n := len(s) - len(strings.TrimLeft(s, "0123456789."))
	if addr, err := netip.ParseAddr(s[:n]); err != nil || !addr.Is4() {
		return 0
	}
	return n
}

func checkIPv4(t *testing.T, s string) {
	t.Helper()
	want := leadingIPv4(s)
	if got := ipv4(s); got != want {
		t.Errorf("ipv4(%q): got %d, want %d", s, got, want)
	}
	if got := ipv4Short(s); got != want {
		t.Errorf("ipv4Short(%q): got %d, want %d", s, got, want)
	}
}

// TestIPv4 takes every text of up to nine bytes of a few sorts, and longer ones
// made of every number, and holds what follows them to every byte.
func TestIPv4(t *testing.T) {
	const tail = " port 22 ssh2 and more"
	var build func(s string)
	build = func(s string) {
		checkIPv4(t, s)
		checkIPv4(t, s+tail)
		if len(s) < 9 {
			for _, next := range []string{"0", "7", "."} {
				build(s + next)
			}
		}
	}
	build("")
	numbers := []string{"", "0", "00", "01", "001", "9", "10", "99", "100", "199", "249", "250", "255", "256", "260", "300", "999", "1000", "0255", "/", ":", "\xb1", "\xae"}
	for _, a := range numbers {
		for _, b := range numbers {
			for _, c := range numbers {
				for _, d := range numbers {
					s := a + "." + b + "." + c + "." + d
					checkIPv4(t, s)
					checkIPv4(t, s+tail)
				}
			}
		}
	}
	for _, s := range []string{"1.2.3.4", "192.0.2.254", "255.255.255.255"} {
		for after := range 256 {
			checkIPv4(t, s+string([]byte{byte(after)})+tail)
			checkIPv4(t, s+" "+string([]byte{byte(after)})+tail)
			for at := range s {
				checkIPv4(t, s[:at]+string([]byte{byte(after)})+s[at+1:]+tail)
			}
		}
	}
}

func FuzzIPv4(f *testing.F) {
	for _, s := range []string{"", "1.2.3.4", "255.255.255.255 port 65535 ssh2", "01.2.3.4 port 1 ssh2 and", "1.2.3.4.5 port 1 ssh2 and", "1.2.3.4", "1111111111111111111111"} {
		f.Add(s)
	}
	f.Fuzz(checkIPv4)
}
