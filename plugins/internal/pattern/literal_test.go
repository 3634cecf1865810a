package pattern

import (
	"strings"
	"testing"
)

func checkFind(t *testing.T, s, text string, from int) {
	t.Helper()
	want := strings.Index(s[from:], text)
	if want >= 0 {
		want += from
	}
	l := newLiteral(text)
	if got := l.find(s, from); got != want {
		t.Errorf("%q in %q from %d on: got %d, want %d", text, s, from, got, want)
	}
	if got, want := l.begins(s[from:]), strings.HasPrefix(s[from:], text); got != want {
		t.Errorf("%q begins with %q: got %v", s[from:], text, got)
	}
	want = len(s)
	if at := strings.IndexByte(s[from:], ' '); at >= 0 {
		want = from + at
	}
	if got := blank(s, from); got != want {
		t.Errorf("the first blank in %q from %d on: got %d, want %d", s, from, got, want)
	}
}

func TestFind(t *testing.T) {
	for _, text := range []string{" ", "x", " from ", "12345678", "123456789", "a text of more than sixteen bytes", "\x00", "a\x00", "aab"} {
		// Near and far, at the end, once more, and cut.
		for _, before := range []int{0, 1, 7, 8, 9, 30, near - 1, near, near + 1, 2 * near} {
			for _, after := range []int{0, 1, 8, 40} {
				for _, filler := range []string{"y", "a", text[:1]} {
					s := strings.Repeat(filler, before) + text + strings.Repeat(filler, after)
					for _, from := range []int{0, 1, before, before + 1, len(s)} {
						checkFind(t, s, text, min(from, len(s)))
						checkFind(t, s[:len(s)-1], text, min(from, len(s)-1))
					}
				}
			}
		}
	}
	past := newLiteral("x")
	if got := past.find("x", 2); got != -1 {
		t.Errorf("past the end: got %d, want -1", got)
	}
}

func FuzzFind(f *testing.F) {
	f.Add("x from y from z", " from ", uint8(3))
	f.Add(strings.Repeat("ab", 60)+"abc", "abc", uint8(0))
	f.Fuzz(func(t *testing.T, s, text string, from uint8) {
		if text != "" {
			checkFind(t, s, text, min(int(from), len(s)))
		}
	})
}

// TestNumbers holds the lengths of ports and numbers to what they are defined as,
// near the end of a text and away from it.
func TestNumbers(t *testing.T) {
	for _, tc := range []struct {
		text         string
		port, number int
	}{
		{"", 0, 0},
		{"x", 0, 0},
		{"0", 1, 1},
		{"22", 2, 2},
		{"00080", 5, 5},
		{"000080", 0, 6},
		{"65535", 5, 5},
		{"65536", 0, 5},
		{"70000", 0, 5},
		{"99999", 0, 5},
		{"1234567", 0, 7},
		{"12345678", 0, 8},
		{"12345678901234567890", 0, 20},
		{"123456789012345678901", 0, 0},
		{"-", 0, 0},
		{"-5", 0, 2},
		{"--5", 0, 0},
		{"-12345678901234567890", 0, 21},
	} {
		for _, tail := range []string{"", " ", " port and more", "/abcdefgh", ":abcdefgh", "\xb0abcdefgh"} {
			s := tc.text + tail
			if got := portLen(s); got != tc.port {
				t.Errorf("port in %q: got %d, want %d", s, got, tc.port)
			}
			if got := numberLen(s); got != tc.number {
				t.Errorf("number in %q: got %d, want %d", s, got, tc.number)
			}
		}
	}
}
