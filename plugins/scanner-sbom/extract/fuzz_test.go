package extract

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"
)

// aJar is a small one with another in it, and what describes both.
func aJar(f *testing.F, nested []byte) []byte {
	f.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{
		"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n", "META-INF/maven/g/a/pom.properties": "groupId=g\nartifactId=a\nversion=1\n", "lib/a.jar": string(nested), "../x.JAR": "",
	} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			f.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}

// counted says how much of an archive was asked for.
type counted struct {
	from  io.ReaderAt
	bytes int64
}

func (c *counted) ReadAt(b []byte, at int64) (int, error) {
	c.bytes += int64(len(b))
	return c.from.ReadAt(b, at)
}

// Whatever an archive says of itself, looking through it costs what it may, and no more.
func FuzzArchive(f *testing.F) {
	inner := aJar(f, []byte("PK"))
	f.Add(aJar(f, inner))
	f.Add(aJar(f, aJar(f, inner)))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const nested, list, describing = 1 << 20, 1 << 16, 8
		b := budget{names: []string{"manifest.mf", "pom.properties"}, nested: nested, list: list, describing: describing}
		from := &counted{from: bytes.NewReader(data)}
		err := b.check(t.Context(), from, int64(len(data)), 0, 1)
		var expands ExpandsError
		if err != nil && !errors.As(err, &expands) {
			t.Fatalf("error %v, want none or an ExpandsError", err)
		}
		if err == nil && (b.nested < 0 || b.list < 0 || b.describing < 0) {
			t.Errorf("%+v is left, and no error", b)
		}
		// The list, and what is unpacked, with the blocks that are read ahead.
		if most := int64(list + 64*len(data) + nested); from.bytes > most {
			t.Errorf("%d bytes of %d were read, and may be %d", from.bytes, len(data), most)
		}
	})
}

// A program's list of crates is inside the program, however it is made.
func FuzzCrates(f *testing.F) {
	section := append([]byte("\x07.dep-v0"), "packed"...)
	f.Add(append(append([]byte("\x00asm\x01\x00\x00\x00\x01\x02ab\x00"), binary.AppendUvarint(nil, uint64(len(section)))...), section...))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f"))
	f.Add([]byte(elf.ELFMAG + "\x02\x01\x01"))
	f.Add([]byte("MZ"))
	f.Add([]byte("\xcf\xfa\xed\xfe"))
	if self, err := os.Executable(); err == nil {
		if program, err := os.Open(self); err == nil { //nolint:gosec // the test itself
			head := make([]byte, 4<<10)
			n, _ := io.ReadFull(program, head)
			f.Add(head[:n])
			_ = program.Close() // it was read only
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		part, size := crates(bytes.NewReader(data), int64(len(data)))
		if part == nil {
			return
		}
		n, err := io.Copy(io.Discard, io.LimitReader(part, maxCrates))
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || n > int64(len(data)) || size < 0 {
			t.Errorf("%d bytes of a list of %d in %d, error %v", n, size, len(data), err)
		}
	})
}
