package framing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func all(r io.Reader) (frames []string, err error) {
	reader := NewReader(r)
	for {
		frame, err := reader.Next()
		if err != nil {
			return frames, err
		}
		frames = append(frames, string(frame))
	}
}

func TestNext(t *testing.T) {
	long := strings.Repeat("x", Limit)
	for _, c := range []struct {
		name, in string
		want     []string
		err      error
	}{
		{"nothing", "", nil, io.EOF},
		{"newline", "<1>a\n<2>b\n", []string{"<1>a", "<2>b"}, io.EOF},
		{"CRLF", "<1>a\r\n<2>b\r\n", []string{"<1>a", "<2>b"}, io.EOF},
		{"NUL", "<1>a\x00<2>b\x00", []string{"<1>a", "<2>b"}, io.EOF},
		{"octets", "4 <1>a6 <2>b\nc", []string{"<1>a", "<2>b\nc"}, io.EOF},
		{"octets with a newline counted", "5 <1>a\n4 <2>b", []string{"<1>a", "<2>b"}, io.EOF},
		{"octets with a newline not counted", "4 <1>a\n4 <2>b\n", []string{"<1>a", "<2>b"}, io.EOF},
		{"mixed", "<1>a\n4 <2>b<3>c\n4 <4>d", []string{"<1>a", "<2>b", "<3>c", "<4>d"}, io.EOF},
		{"digits that are text", "2026-01-31 a\n12\n7x\n", []string{"2026-01-31 a", "12", "7x"}, io.EOF},
		{"leading zero is text", "04 abc\n", []string{"04 abc"}, io.EOF},
		{"empty frames", "\n\n\x00\r\n<1>a\n\n", []string{"<1>a"}, io.EOF},
		{"no end", "<1>a\n<2>b", []string{"<1>a", "<2>b"}, io.EOF},
		{"digits without end", "123", []string{"123"}, io.EOF},
		{"incomplete octets", "<1>a\n9 <2>b", []string{"<1>a"}, io.ErrUnexpectedEOF},
		{"too many digits", "<1>a\n12345678 x", []string{"<1>a"}, ErrLength},
		{"too long", "1048577 x", nil, ErrLength},
		{"longest length", fmt.Sprintf("%d %s<1>a\n", MaxLength, strings.Repeat("x", MaxLength)), []string{long, "<1>a"}, io.EOF},
		{"line at the limit", long + "\n<1>a\n", []string{long, "<1>a"}, io.EOF},
		{"line over the limit", long + strings.Repeat("y", 10<<20) + "\n<1>a\n", []string{long, "<1>a"}, io.EOF},
		{"line over the limit without end", long + "yyy", []string{long}, io.EOF},
		{"counted over the limit, incomplete", "70000 " + long + "yyy", []string{long}, io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, src := range map[string]io.Reader{
				"at once":      strings.NewReader(c.in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(c.in)),
				"data and EOF": iotest.DataErrReader(strings.NewReader(c.in)),
			} {
				got, err := all(src)
				if !slices.Equal(got, c.want) || !errors.Is(err, c.err) {
					t.Errorf("%s: got %.200q, %v, want %.200q, %v", name, got, err, c.want, c.err)
				}
			}
		})
	}
}

func TestConnectionError(t *testing.T) {
	broken := errors.New("broken")
	got, err := all(io.MultiReader(strings.NewReader("<1>a\n<2>b"), iotest.ErrReader(broken)))
	if !slices.Equal(got, []string{"<1>a"}) || !errors.Is(err, broken) {
		t.Errorf("got %q, %v, want the first frame and %v", got, err, broken)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("<1>a\n4 <2>b<3>c\x00"), 3)
	f.Add([]byte("12345678 x"), 1)
	f.Add([]byte("70000 "+strings.Repeat("x", 70001)), 4096)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		whole, wholeErr := all(bytes.NewReader(in))
		total := 0
		for _, frame := range whole {
			if frame == "" || len(frame) > Limit {
				t.Fatalf("frame of %d bytes", len(frame))
			}
			total += len(frame)
		}
		if total > len(in) {
			t.Fatalf("%d bytes out of %d", total, len(in))
		}
		// The pieces in which the bytes arrive make no difference.
		pieces, piecesErr := all(&piecewise{in, 1 + max(0, size%8192)})
		if !slices.Equal(whole, pieces) || !errors.Is(piecesErr, wholeErr) {
			t.Errorf("in pieces: got %.200q, %v, want %.200q, %v", pieces, piecesErr, whole, wholeErr)
		}
	})
}

type piecewise struct {
	b []byte
	n int
}

func (p *piecewise) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(p.n, len(b))], p.b)
	p.b = p.b[n:]
	return n, nil
}

func BenchmarkNext(b *testing.B) {
	line := "<34>1 2026-01-31T22:14:15.003Z host sshd 111 - - " + strings.Repeat("x", 80)
	for name, frame := range map[string]string{
		"newline": line + "\n",
		"octets":  fmt.Sprintf("%d %s", len(line), line),
	} {
		b.Run(name, func(b *testing.B) {
			in := bytes.Repeat([]byte(frame), 10_000)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				r := NewReader(bytes.NewReader(in))
				n := 0
				for {
					if _, err := r.Next(); err != nil {
						break
					}
					n++
				}
				if n != 10_000 {
					b.Fatalf("frames: got %d", n)
				}
			}
		})
	}
}
