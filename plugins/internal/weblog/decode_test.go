package weblog

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ironpost/ironpost/sdk/event"
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
		{"slash of three bytes", "/..%e0%80%af", "/../"},
		{"slash of four bytes", "/..%f0%80%80%af", "/../"},
		{"euro sign of four bytes", "/%f0%82%82%ac", "/€"},
		{"three bytes cut", "/%e0%80", "/\ufffd"},
		{"first byte alone", "/%c0", "/\ufffd"},
		{"UTF-8", "/%e2%82%ac", "/€"},
		{"not UTF-8", "/%ff%fe", "/\ufffd"},
		{"control characters", "/%01%0e%1b[2J%7f", "/%01%0e%1b[2J%7f"},
		{"control characters encoded twice", "/%251b.jpg", "/%1b.jpg"},
		{"control characters of more bytes", "/%c0%9b.%e0%80%9b", "/\ufffd.\ufffd"},
		{"NUL", "/a%00.jpg", "/a\ufffd.jpg"},
		{"NUL twice", "/%2500.jpg", "/\ufffd.jpg"},
		{"NUL of IIS", "/%u0000.jpg", "/\ufffd.jpg"},
		{"NUL of two bytes", "/%c0%80", "/\ufffd"},
		{"NUL of three bytes", "/%e0%80%80", "/\ufffd"},
		{"line feed", "/?q=UNION%0aSELECT", "/?q=UNION SELECT"},
		{"tab", "/?q=UNION%09SELECT", "/?q=UNION SELECT"},
		{"vertical tab", "/?q=UNION%0bSELECT", "/?q=UNION SELECT"},
		{"form feed", "/?q=UNION%0CSELECT", "/?q=UNION SELECT"},
		{"line break", "/?q=UNION%0D%0ASELECT", "/?q=UNION SELECT"},
		{"line feed of two bytes", "/?q=UNION%c0%8aSELECT", "/?q=UNION SELECT"},
		{"line feed of IIS", "/?q=UNION%u000aSELECT", "/?q=UNION SELECT"},
		{"line feed as nginx logs it", `/?q=UNION\x0ASELECT`, "/?q=UNION SELECT"},
		{"pluses", "/?q=UNION++SELECT", "/?q=UNION SELECT"},
		{"blanks of all kinds", "/?q=UNION+%20%09%2509/**/%a0SELECT", "/?q=UNION \ufffdSELECT"},
		{"blanks as they are", "/?q=UNION  SELECT", "/?q=UNION SELECT"},
		{"one blank as it is", "/?q=UNION SELECT", "/?q=UNION SELECT"},
		{"tab as it is", "/?q=UNION\tSELECT", "/?q=UNION SELECT"},
		{"comment", "/?q=UNION/**/SELECT", "/?q=UNION SELECT"},
		{"comment encoded", "/?q=UNION%2f%2a%2a%2fSELECT", "/?q=UNION SELECT"},
		{"comment of words", "/?q=UNION/*a_1 b*/SELECT", "/?q=UNION SELECT"},
		{"comment that MySQL runs", "/?q=1/*!50000UNION*/+SELECT", "/?q=1 UNION*/ SELECT"},
		{"no comment", "/?a=/*&b=../../etc/passwd&c=*/", "/?a=/*&b=../../etc/passwd&c=*/"},
		{"comment without an end", "/a/*", "/a/*"},
		{"comment that is one mark", "/a/*/b", "/a/*/b"},
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
			got, differs, _ := decoded(tc.uri)
			if got != tc.want || differs != (tc.want != tc.uri) {
				t.Errorf("%q: got %q, differs %v; want %q", tc.uri, got, differs, tc.want)
			}
		})
	}
}

func TestDecodedIsWhole(t *testing.T) {
	padded := "/?a=" + strings.Repeat("a", event.MaxRecord-100) + "&q=%55nion%0a%53elect"
	got, differs, cut := decoded(padded)
	if !differs || cut || !strings.HasSuffix(got, "a&q=Union Select") {
		t.Errorf("got %q at the end, differs %v, cut %v; want it decoded to the end", got[max(0, len(got)-20):], differs, cut)
	}
}

func TestDecodedIsBounded(t *testing.T) {
	for name, uri := range map[string]string{
		"longer than a record":    "/%41" + strings.Repeat("a", 2*event.MaxRecord),
		"longer when it is UTF-8": "/%41" + strings.Repeat("\xffa", event.MaxRecord/2-4),
	} {
		got, differs, cut := decoded(uri)
		if len(got) > event.MaxRecord || !strings.HasPrefix(got, "/A") || !utf8.ValidString(got) || !differs || !cut {
			t.Errorf("%s: got %d bytes, %.8q..., differs %v, cut %v; want the first %d, decoded, cut", name, len(got), got, differs, cut, event.MaxRecord)
		}
	}
	if got, _, cut := decoded(strings.Repeat("%ff", event.MaxRecord/3)); got != "\ufffd" || cut {
		t.Errorf("got %d bytes, cut %v; want one U+FFFD", len(got), cut)
	}
}

func FuzzDecoded(f *testing.F) {
	for _, uri := range []string{
		"/%2e%2e/?a+b", `\x22\"\\`, "%u002e%ud800", "%c0%ae%c1%9c", "%252525", "%00%ff", "\xff%4",
		"a%0a%0b++/**/ /*x*/b", "/*!50000union*/", "%e0%80%af%f0%82%82%ac", "%c0%8a%e0%80%80%u000d", "/*/", "/*%2a/",
	} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		got, differs, cut := decoded(uri)
		if !differs {
			if got != uri || cut {
				t.Fatalf("%q: got %q, cut %v; want it as it is", uri, got, cut)
			}
			return
		}
		if len(got) > event.MaxRecord || !utf8.ValidString(got) {
			t.Fatalf("%q: got %d bytes, %q", uri, len(got), got)
		}
		if strings.ContainsAny(got, "\t\n\v\f\r") || strings.Contains(got, "  ") {
			t.Fatalf("%q: got %q, which holds other blanks than single ones", uri, got)
		}
		for _, c := range []byte(got) {
			if c < ' ' && strings.IndexByte(uri, c) < 0 {
				t.Fatalf("%q: got %q, which holds a control character that was escaped", uri, got)
			}
		}
	})
}

func BenchmarkDecoded(b *testing.B) {
	for name, uri := range map[string]string{"plain": "/a/b/c.html?d=e&f=g", "encoded": "/search?q=%E2%82%AC%20and+more&page=2", "8KiB": strings.Repeat("%252e", 8<<10/5), "64KiB": strings.Repeat("%252e", event.MaxRecord/5), "64KiB padded": "/?a=" + strings.Repeat("a", event.MaxRecord-8) + "%20"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(uri)))
			b.ReportAllocs()
			for b.Loop() {
				decoded(uri)
			}
		})
	}
}
