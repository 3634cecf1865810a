package weblog

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecoded(t *testing.T) {
	for _, tc := range []struct{ name, uri, want string }{
		{"nothing to decode", "/a/b?c=d&e", "/a/b?c=d&e"},
		{"path", "/%2e%2e%2f%2E%2E/etc/passwd", "/../../etc/passwd"},
		{"query", "/?id=1%27%20OR%20%271%27%3d%271", "/?id=1' OR '1'='1"},
		{"plus in the query", "/a+b?q=union+select+1%2b1", "/a+b?q=union select 1+1"},
		{"twice", "/%252e%252e%252fetc", "/../etc"},
		{"thrice", "/%25252e", "/."},
		{"four times", "/%2525252e", "/%2e"},
		{"of IIS", "/%u002e%u002E%u2215", "/..\u2215"},
		{"half a character of UTF-16", "/%ud800", "/\ufffd"},
		{"slash of two bytes", "/..%c0%af..%C1%9C", `/../..\`},
		{"slash of two bytes, as nginx logs it", `/..\xC0\xAF`, "/../"},
		{"percent sign of two bytes", "/%c0%a52e", "/."},
		{"first byte alone", "/%c0", "/\ufffd"},
		{"UTF-8", "/%e2%82%ac", "/€"},
		{"not UTF-8", "/%ff%fe", "/\ufffd"},
		{"control characters", "/%00%0d%0A%1b[2J%7f", "/%00%0d%0A%1b[2J%7f"},
		{"control characters encoded twice", "/%2500.jpg", "/%00.jpg"},
		{"control characters of two bytes", "/%c0%80", "/\ufffd"},
		{"cut", "/%", "/%"},
		{"cut after a digit", "/%2", "/%2"},
		{"cut after u", "/%u00", "/%u00"},
		{"not hexadecimal", "/%zz%2g%u00zz", "/%zz%2g%u00zz"},
		{"percent sign of a sentence", "/100%", "/100%"},
		{"as nginx logs it", `/\x22><script>`, `/"><script>`},
		{"as Apache logs it", `/\"\\x22`, `/"\x22`},
		{"bytes that nginx escapes", `/\xE2\x82\xAC`, "/€"},
		{"control characters in the log", `\x16\x03\x01 \x02`, `\x16\x03\x01 \x02`},
		{"a backslash of its own", `/..\..\x`, `/..\..\x`},
		{"nothing", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, differs := decoded(tc.uri)
			if got != tc.want || differs != (tc.want != tc.uri) {
				t.Errorf("%q: got %q, differs %v; want %q", tc.uri, got, differs, tc.want)
			}
		})
	}
}

func TestDecodedIsBounded(t *testing.T) {
	got, _ := decoded("/%41" + strings.Repeat("a", 2*maxDecoded))
	if len(got) != maxDecoded-2 || !strings.HasPrefix(got, "/Aaa") {
		t.Errorf("got %d bytes, %.8q...; want the first %d, decoded", len(got), got, maxDecoded)
	}
	if got, _ := decoded(strings.Repeat("%ff", maxDecoded)); len(got) > maxDecoded {
		t.Errorf("got %d bytes, want at most %d", len(got), maxDecoded)
	}
}

func FuzzDecoded(f *testing.F) {
	for _, uri := range []string{"/%2e%2e/?a+b", `\x22\"\\`, "%u002e%ud800", "%c0%ae%c1%9c", "%252525", "%00%ff", "\xff%4"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		got, differs := decoded(uri)
		if !differs {
			return
		}
		if len(got) > maxDecoded || !utf8.ValidString(got) {
			t.Fatalf("%q: got %d bytes, %q", uri, len(got), got)
		}
		for _, c := range []byte(got) {
			if c < ' ' && strings.IndexByte(uri, c) < 0 {
				t.Fatalf("%q: got %q, which holds a control character that was escaped", uri, got)
			}
		}
	})
}

func BenchmarkDecoded(b *testing.B) {
	for name, uri := range map[string]string{"plain": "/a/b/c.html?d=e&f=g", "encoded": "/search?q=%E2%82%AC%20and+more&page=2", "8KiB": strings.Repeat("%252e", maxDecoded/5)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(uri)))
			b.ReportAllocs()
			for b.Loop() {
				decoded(uri)
			}
		})
	}
}
