package service

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMapping(t *testing.T) {
	type found struct {
		Span          string
		Device, Inode uint64
		Path          string
	}
	for _, tt := range []struct {
		name, line string
		want       *found
	}{
		{
			"a program", "55d0a1c00000-55d0a1c2a000 r-xp 00002000 fe:03 1234567                    /usr/bin/cat",
			&found{"55d0a1c00000-55d0a1c2a000", 0xfe03, 1234567, "/usr/bin/cat"},
		},
		{"its data", "55d0a1c2a000-55d0a1c2b000 rw-p 0002b000 fe:03 1234567                    /usr/bin/cat", nil},
		{"a large minor number", "00400000-00401000 --xp 00000000 103:12345 9  /a", &found{"00400000-00401000", 0x12310345, 9, "/a"}},
		{"blanks in the path", "1000-2000 r-xs 00000000 00:2a 7     /a b  c", &found{"1000-2000", 0x2a, 7, "/a b  c"}},
		{"a path like a line", "1000-2000 r--p 00000000 00:2a 7     /x 1000-2000 r-xp 00000000 00:2a 7 /y", nil},
		{"a java archive", "7f00-8f00 r--s 00000000 08:01 11    /srv/App.JAR", &found{"7f00-8f00", 0x801, 11, "/srv/App.JAR"}},
		{"one that is gone", "7f00-8f00 r--s 00000000 08:01 11    /srv/app.jar (deleted)", &found{"7f00-8f00", 0x801, 11, "/srv/app.jar (deleted)"}},
		{"nothing", "7ffc0000-7ffc2000 r-xp 00000000 00:00 0 ", nil},
		{"the kernel's", "7ffc0000-7ffc2000 r-xp 00000000 00:00 0                          [vdso]", nil},
		{"a file without an inode", "7ffc0000-7ffc2000 r-xp 00000000 00:00 0 /dev/zero", nil},
		{"an empty line", "", nil},
		{"no path", "1000-2000 r-xp 00000000 00:2a 7", nil},
		{"no inode", "1000-2000 r-xp 00000000 00:2a /x", nil},
		{"no device", "1000-2000 r-xp 00000000 2a 7 /x", nil},
		{"a negative inode", "1000-2000 r-xp 00000000 00:2a -7 /x", nil},
		{"an inode beyond 64 bits", "1000-2000 r-xp 00000000 00:2a 18446744073709551616 /x", nil},
		{"the largest inode", "1000-2000 r-xp 00000000 00:2a 18446744073709551615 /x", &found{"1000-2000", 0x2a, 1<<64 - 1, "/x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, ok := parseMapping([]byte(tt.line))
			var got *found
			if ok {
				got = &found{string(m.span), m.device, m.inode, string(m.path)}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("mapping (-want +got):\n%s", diff)
			}
		})
	}
}

func TestArchive(t *testing.T) {
	for path, want := range map[string]bool{
		"/a/b.jar": true, "/a/B.WAR": true, "/x.egg (deleted)": true, "/x.phar": true, "/App.dll": true, "/x.pyz": true,
		"/a.jar/b": false, "/jar": false, "/a.": false, "/a.so": false, "/a.jarx": false, "/a.jar2": false, "": false, "/a.jar (deleted) (deleted)": false,
	} {
		if got := archive([]byte(path)); got != want {
			t.Errorf("%q: got %v, want %v", path, got, want)
		}
	}
}

func FuzzParseMapping(f *testing.F) {
	f.Add([]byte("55d0a1c00000-55d0a1c2a000 r-xp 00002000 fe:03 1234567                    /usr/bin/cat"))
	f.Add([]byte("1000-2000 r--s 00000000 00:2a 7     /a\\012b.jar (deleted)"))
	f.Add([]byte("1000-2000 r-xp 00000000 00:2a 7"))
	f.Add([]byte("- r-xp  : /"))
	f.Add([]byte(" 0/x0 000000000"))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, ok := parseMapping(line)
		if !ok {
			return
		}
		if !bytes.HasSuffix(line, m.path) || len(m.path) == 0 || m.path[0] != '/' || m.inode == 0 || !bytes.HasPrefix(line, m.span) {
			t.Fatalf("%q gives %q, inode %d, at %q", line, m.path, m.inode, m.span)
		}
		if perms := line[len(m.span)+1:]; perms[2] != 'x' && !archive(m.path) {
			t.Fatalf("%q is not executed, and no archive", line)
		}
	})
}
