package octets

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

func TestLoad(t *testing.T) {
	if got := Load("abcdefghi"); got != 0x6867_6665_6463_6261 {
		t.Errorf("Load: got %#x", got)
	}
	if got := Load4("abcde"); got != 0x6463_6261 {
		t.Errorf("Load4: got %#x", got)
	}
}

func TestIndex(t *testing.T) {
	for c := range 256 {
		for at := range 9 {
			// Bytes that differ in one bit stand beside the one that is looked for.
			s := strings.Repeat(string([]byte{byte(c ^ 1), byte(c ^ 0x80)}), 4)
			if at < 8 {
				s = s[:at] + string([]byte{byte(c)}) + s[at+1:]
			}
			if got := Index(Load(s) ^ uint64(c)*Ones); got != at {
				t.Errorf("the first %#x of %q: got %d, want %d", c, s, got, at)
			}
		}
	}
}

func TestDigits(t *testing.T) {
	for c := range 256 {
		for at := range 8 {
			s := "90817263"
			s = s[:at] + string([]byte{byte(c)}) + s[at+1:]
			want := at
			if '0' <= c && c <= '9' {
				want = 8
			}
			if got := Digits(Load(s)); got != want {
				t.Errorf("digits of %q: got %d, want %d", s, got, want)
			}
		}
	}
}

func TestNumber(t *testing.T) {
	for _, text := range []string{"0", "7", "10", "99", "100", "255", "9999", "65535", "00080", "123456", "9999999", "12345678", "99999999"} {
		want, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := Number(Load(fmt.Sprintf("%s] x\xff\xff\xff\xff", text)), len(text)); got != want {
			t.Errorf("%s: got %d", text, got)
		}
	}
}

// FuzzNumber holds it to strconv.
func FuzzNumber(f *testing.F) {
	f.Add("12345]: x")
	f.Add("99999999")
	f.Add("        ")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) < 8 {
			return
		}
		n := Digits(Load(s))
		if want := len(s[:8]) - len(strings.TrimLeft(s[:8], "0123456789")); n != want {
			t.Fatalf("digits of %q: got %d, want %d", s, n, want)
		}
		if n == 0 {
			return
		}
		want, err := strconv.ParseUint(s[:n], 10, 64)
		if got := Number(Load(s), n); err != nil || got != want {
			t.Fatalf("number of %q: got %d, want %d", s, got, want)
		}
	})
}
