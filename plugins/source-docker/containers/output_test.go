package containers

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/internal/docker"
	"github.com/ironpost/ironpost/sdk/event"
)

const stampText = "2026-03-01T12:00:00.000000005Z "

func framed(stream byte, text string) string {
	header := [8]byte{stream}
	binary.BigEndian.PutUint32(header[4:], uint32(len(text)))
	return string(header[:]) + text
}

type read struct {
	At     int64
	Stderr bool
	Text   string
}

func readAll(src io.Reader) (out []read, err error) {
	for o := newOutput(src); ; {
		l, err := o.next()
		if err != nil {
			return out, err
		}
		out = append(out, read{l.at, l.stderr, string(l.text)})
	}
}

func TestOutput(t *testing.T) {
	now := at(5)
	for _, c := range []struct {
		name, in string
		want     []read
		err      error
	}{
		{"empty", "", nil, io.EOF},
		{"a line", framed(1, stampText+"a\n"), []read{{now, false, "a"}}, io.EOF},
		{"an empty line", framed(2, stampText+"\n"), []read{{now, true, ""}}, io.EOF},
		{"pieces", framed(1, stampText+"a") + framed(2, stampText+"x\n") + framed(1, stampText+"b\n"), []read{{now, true, "x"}, {now, false, "ab"}}, io.EOF},
		{"a last line without end", framed(1, stampText+"a"), []read{{now, false, "a"}}, io.EOF},
		{"two lines in a piece", framed(1, stampText+"a\n"+stampText+"b\n"), []read{{now, false, "a"}, {now, false, "b"}}, io.EOF},
		{"a terminal", stampText + "a\r\n" + stampText + "b\r\n", []read{{now, false, "a"}, {now, false, "b"}}, io.EOF},
		{"no stamp", framed(1, "a\n"), []read{{0, false, "a"}}, io.EOF},
		{"a stream that is none", framed(7, "a"), nil, errPiece},
		{"a piece too long", "\x01\x00\x00\x00\xff\xff\xff\xff", nil, errPiece},
		{"an end inside a piece", framed(1, stampText+"abc\n")[:20], nil, io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAll(iotest.HalfReader(strings.NewReader(c.in)))
			if diff := cmp.Diff(c.want, got); diff != "" || !errors.Is(err, c.err) {
				t.Errorf("lines (-want +got):\n%s\nerror %v, want %v", diff, err, c.err)
			}
		})
	}
}

func FuzzOutput(f *testing.F) {
	f.Add([]byte(framed(1, stampText+"a\n")))
	f.Add([]byte(stampText + "a\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, err := readAll(bytes.NewReader(in))
		slow, slowErr := readAll(iotest.OneByteReader(bytes.NewReader(in)))
		if diff := cmp.Diff(whole, slow); diff != "" || err.Error() != slowErr.Error() {
			t.Errorf("byte by byte (-at once +slow):\n%s\n%v, %v", diff, err, slowErr)
		}
		for _, l := range whole {
			if len(l.Text) > maxText {
				t.Errorf("a line of %d bytes", len(l.Text))
			}
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add("name", "image", "key", "value", []byte("text"), int64(5))
	f.Add("\xff", "\x00", "\"", "\\", []byte("\xf0\x9f\x98\x80\xed\xa0\x80"), int64(-1))
	f.Fuzz(func(t *testing.T, name, image, key, value string, text []byte, when int64) {
		about := &container{ID: id("a"), Names: []string{name}, Image: image, Labels: map[string]string{key: value}}
		members, _ := describe(about, []string{"*"})
		when = max(0, min(when, time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()))
		got, cut := appendLine(nil, members, &line{at: when, text: text[:min(len(text), maxText)]})
		if len(got) > event.MaxRecord {
			t.Fatalf("a record of %d bytes", len(got))
		}
		var r record
		if err := json.Unmarshal(got, &r); err != nil {
			t.Fatalf("%v in %q", err, got)
		}
		if want := strings.ToValidUTF8(string(text), "\ufffd"); !cut && r.Log != plainText(text) && r.Log != want {
			t.Errorf("log: got %q, want %q", r.Log, want)
		}
		if r.Cut != cut || r.ID != id("a") {
			t.Errorf("got %+v, cut %v", r, cut)
		}
		e := &docker.Event{Type: name, Action: image}
		e.Actor.ID, e.Actor.Attributes = value, map[string]string{key: value}
		if got := appendEvent(nil, e, members); !json.Valid(got) {
			t.Errorf("an event that is not JSON: %q", got)
		}
	})
}

// plainText has each byte that is not UTF-8 replaced.
func plainText(b []byte) string { return string([]rune(string(b))) }

func FuzzPosition(f *testing.F) {
	p := from(at(3))
	f.Add(p.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePosition(b)
		if err != nil {
			return
		}
		if got := p.append(nil); !bytes.Equal(got, b) {
			t.Errorf("got %x, want %x", got, b)
		}
		if _, _, err := decodeEvents(b); err == nil && len(b)%8 != 1 {
			t.Error("events of a broken length")
		}
	})
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Config)
		ok   bool
	}{
		{"defaults", func(*Config) {}, true},
		{"bad glob", func(c *Config) { c.Exclude = []string{"["} }, false},
		{"start", func(c *Config) { c.Start = "now" }, false},
		{"no containers", func(c *Config) { c.MaxContainers = 0 }, false},
	} {
		config := Defaults()
		c.edit(&config)
		if err := config.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: got %v, want ok %v", c.name, err, c.ok)
		}
	}
}

func BenchmarkLine(b *testing.B) {
	text := framed(1, stampText+strings.Repeat("x", 120)+"\n")
	in := strings.Repeat(text, 1000)
	members, _ := describe(&container{ID: id("a"), Names: []string{"/web"}, Image: "nginx:1", Labels: map[string]string{"team": "blue"}}, []string{"*"})
	var buf []byte
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		p := from(0)
		for o := newOutput(strings.NewReader(in)); ; {
			l, err := o.next()
			if err != nil {
				break
			}
			p.pass(l)
			buf, _ = appendLine(buf[:0], members, l)
			n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/line")
}
