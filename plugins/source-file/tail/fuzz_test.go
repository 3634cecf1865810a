package tail

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

func TestPositionRoundTrip(t *testing.T) {
	marks := []mark{
		{device: 1, inode: 2, head: 3, headLen: 4, offset: 5, lead: 6, leadLen: 5, seen: 7},
		{device: 1 << 63, inode: 9, headLen: headLimit, offset: 1 << 40, leadLen: leadLimit, skipping: true, seen: -1},
	}
	var segments []*segment
	for _, m := range marks {
		segments = append(segments, &segment{mark: m})
	}
	var p position
	p.set(segments)
	got, err := decodePosition(p.buf)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(marks, got, cmp.AllowUnexported(mark{})); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	if len(p.buf) > 4<<10 {
		t.Errorf("position of %d bytes, at most 4 KiB are allowed", len(p.buf))
	}
}

// TestPositionOutOfRange: a damaged checkpoint is refused; one that claimed events
// which no region has would have as many passed over.
func TestPositionOutOfRange(t *testing.T) {
	for name, m := range map[string]mark{
		"offset":  {offset: -1},
		"head":    {headLen: headLimit + 1},
		"lead":    {leadLen: leadLimit + 1, offset: 1 << 10},
		"before":  {leadLen: 5, offset: 4},
		"until":   {until: maxRegion + 1},
		"emitted": {emitted: mostEmitted + 1},
	} {
		var p position
		p.set([]*segment{{mark: m}})
		if got, err := decodePosition(p.buf); !errors.Is(err, errPosition) {
			t.Errorf("%s: got %+v, %v, want %v", name, got, err, errPosition)
		}
	}
}

func TestParseRotated(t *testing.T) {
	for _, c := range []struct {
		name, base string
		order      order
		ok         bool
	}{
		{"auth.log.1", "auth.log", order{number: 1}, true},
		{"auth.log.12", "auth.log", order{number: 12}, true},
		{"auth.log-20260131", "auth.log", order{date: "20260131"}, true},
		{"auth.log.2026-01-31", "auth.log", order{date: "20260131"}, true},
		{"auth-2026-01-31T10-00-00.000.log", "auth.log", order{date: "20260131100000000"}, true},
		{"auth-20260131.log", "auth.log", order{date: "20260131"}, true},
		{"app-2.log.1", "app-2.log", order{number: 1}, true},
		{"auth.log", "", order{}, false},
		{"auth.log.1.gz", "auth.log", order{number: 1}, true},
		{"auth.log-20260131.gz", "auth.log", order{date: "20260131"}, true},
		{"app-20260131.log.gz", "app.log", order{date: "20260131"}, true},
		{"auth.log.2.zst", "auth.log", order{number: 2}, true},
		{"auth.log.1.xz", "", order{}, false},
		{"auth.log.gz", "", order{}, false},
		{"node-1.log", "", order{}, false},
		{"worker-1", "", order{}, false},
		{"mail2", "", order{}, false},
		{"20260131", "", order{}, false},
		{".1", "", order{}, false},
		{"a.", "", order{}, false},
		{"", "", order{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			base, o, ok := parseRotated(c.name)
			if ok != c.ok || (ok && (base != c.base || o != c.order)) {
				t.Errorf("got %q %+v %v, want %q %+v %v", base, o, ok, c.base, c.order, c.ok)
			}
		})
	}
}

func FuzzDecodePosition(f *testing.F) {
	var p position
	p.set([]*segment{{mark: mark{inode: 1, offset: 10, leadLen: 10, headLen: 10}}, {}})
	f.Add(p.buf)
	f.Add([]byte{1, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		marks, err := decodePosition(b)
		if err != nil {
			return
		}
		var segments []*segment
		for _, m := range marks {
			segments = append(segments, &segment{mark: m})
		}
		var p position
		p.set(segments)
		if again, err := decodePosition(p.buf); err != nil || !slices.Equal(again, marks) {
			t.Errorf("decoded again: got %+v, %v, want %+v", again, err, marks)
		}
		if b[0] == positionVersion && !bytes.Equal(p.buf, b) {
			t.Errorf("encoded again: got %x, want %x", p.buf, b)
		}
	})
}

func FuzzParseRotated(f *testing.F) {
	f.Add("auth.log-20260131")
	f.Add("a-2026-01-31.log")
	f.Fuzz(func(t *testing.T, name string) {
		base, _, ok := parseRotated(name)
		if ok && (base == "" || len(base) >= len(name)) {
			t.Errorf("%q: base %q", name, base)
		}
	})
}

// FuzzRead compares the lines of a file that arrives in two pieces, with a
// restart between them, with those of a plain split.
func FuzzRead(f *testing.F) {
	f.Add([]byte("a\nb\r\n\n\x00c\n"), 3)
	f.Add([]byte(strings.Repeat("x", event.MaxRecord+10)+"\nb\n"), event.MaxRecord+5)
	f.Add([]byte(strings.Repeat("\x00", 600)+"b\n"), 100)
	f.Fuzz(func(t *testing.T, content []byte, cut int) {
		cut = max(0, min(cut, len(content)))
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, content[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, chunk)
		var got []string
		var place *mark
		pass := func() {
			file, info, err := openFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			g := newSegment(file, identify(info))
			if place == nil {
				err = g.check(buf)
			} else {
				err = g.adopt(place, buf)
			}
			if err != nil {
				t.Fatal(err)
			}
			err = g.read(context.Background(), buf, func(line []byte) error {
				got = append(got, string(line))
				m := g.mark
				place = &m
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		pass()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		pass()
		if diff := cmp.Diff(plainLines(content), got); diff != "" {
			t.Errorf("lines (-want +got):\n%.2000s", diff)
		}
	})
}

// plainLines is the contract of the package in its simplest form.
func plainLines(content []byte) []string {
	var lines []string
	for len(content) > 0 {
		trimmed := bytes.TrimLeft(content, "\x00")
		if len(content)-len(trimmed) >= nulBlock {
			content = trimmed
			continue
		}
		i := bytes.IndexByte(content, '\n')
		switch {
		case i < 0 && len(content) <= event.MaxRecord+1:
			return lines
		case i < 0:
			return append(lines, string(content[:event.MaxRecord+1]))
		case i > event.MaxRecord+1:
			lines = append(lines, string(content[:event.MaxRecord+1]))
		default:
			lines = append(lines, string(bytes.TrimSuffix(content[:i], []byte("\r"))))
		}
		content = content[i+1:]
	}
	return lines
}

func BenchmarkRead(b *testing.B) {
	line := strings.Repeat("x", 131) + "\n"
	path := filepath.Join(b.TempDir(), "f")
	const lines = 64 << 10
	if err := os.WriteFile(path, []byte(strings.Repeat(line, lines)), 0o600); err != nil {
		b.Fatal(err)
	}
	file, info, err := openFile(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	buf := make([]byte, chunk)
	g := newSegment(file, identify(info))
	var p position
	p.set([]*segment{g})
	n := 0
	emit := func([]byte) error {
		p.move(0, &g.mark)
		n++
		return nil
	}
	b.ReportAllocs()
	for b.Loop() {
		g.restart()
		if err := g.read(b.Context(), buf, emit); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/line")
}
