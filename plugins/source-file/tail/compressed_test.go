package tail

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// squeeze compresses path to path.gz and deletes it. Like the compressors of
// most programs, and unlike gzip, it leaves the time of change to the system.
func squeeze(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path+".gz", string(compress(t, string(text))))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func compress(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// squeezeZstd compresses path to path.zst and deletes it.
func squeezeZstd(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path+".zst", string(compressZstd(t, string(text))))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func compressZstd(t testing.TB, text string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll([]byte(text), nil)
}

// TestZstd reads what zstd writes: several frames, a cut one, and one that refers
// too far back.
func TestZstd(t *testing.T) {
	big := strings.Repeat("a line that comes again and again\n", 50_000)
	var far bytes.Buffer
	w, err := zstd.NewWriter(&far, zstd.WithWindowSize(64<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 16<<20)
	for i, r := 0, uint64(1); i < len(random); i++ {
		r = r*6364136223846793005 + 1442695040888963407
		random[i] = 'a' + byte(r>>59)%26
	}
	if _, err := w.Write(random); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, content, want string
		finished, damaged   bool
	}{
		{"one frame", string(compressZstd(t, big)), big, true, false},
		{"frames one after the other", string(compressZstd(t, "1\n")) + string(compressZstd(t, "2\n")), "1\n2\n", true, false},
		{"empty content", string(compressZstd(t, "")), "", true, false},
		{"nothing yet", "", "", false, false},
		{"a beginning", "\x28\xb5", "", false, false},
		{"cut", string(compressZstd(t, string(random[:5000])))[:60], "", false, false},
		{"something else behind it", string(compressZstd(t, "1\n")) + "no zstd at all", "1\n", true, true},
		{"too far back", far.String(), "", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.zst")
			write(t, path, c.content)
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			z := &packedFile{file: file}
			got := make([]byte, len(c.want)+100)
			n := 0
			for err == nil && n < len(got) {
				var more int
				more, err = z.ReadAt(got[n:min(n+4096, len(got))], int64(n))
				n += more
			}
			if string(got[:n]) != c.want || !errors.Is(err, io.EOF) {
				t.Errorf("got %d bytes and %v, want %d and the end", n, err, len(c.want))
			}
			finished, damaged, err := z.state()
			if finished != c.finished || damaged != c.damaged || err != nil {
				t.Errorf("state: got finished %v, damaged %v, %v; want %v, %v", finished, damaged, err, c.finished, c.damaged)
			}
		})
	}
}

// realGzip compresses as logrotate has it done.
func realGzip(t *testing.T, path string) {
	t.Helper()
	if out, err := exec.Command("gzip", path).CombinedOutput(); err != nil {
		t.Fatalf("gzip: %v\n%s", err, out)
	}
}

func TestCompressedWhileFollowed(t *testing.T) {
	for _, c := range []struct {
		name string
		gzip func(*testing.T, string)
	}{{"gzip", realGzip}, {"another compressor", squeeze}, {"zstd", squeezeZstd}} {
		for _, name := range []string{"a.log.1", "a.log-20260131", "a-2026-01-31T10-00-00.000.log"} {
			t.Run(c.name+" "+name, func(t *testing.T) {
				dir := t.TempDir()
				path, old := filepath.Join(dir, "a.log"), filepath.Join(dir, name)
				write(t, path, "1\n2\n")
				l := newLedger()
				l.run(t, beginning(path))
				l.wantLines(t, path, "1", "2")
				rename(t, path, old)
				c.gzip(t, old)
				write(t, path, "3\n")
				l.wantLines(t, path, "1", "2", "3")
				add(t, path, "4\n")
				l.wantLines(t, path, "1", "2", "3", "4")
				if n := len(l.names()); n != 1 {
					t.Errorf("streams: got %d, want 1", n)
				}
			})
		}
	}
}

func TestCompressedBeforeTheSuccessorHasData(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "1\n")
	l := newLedger()
	src, _ := l.run(t, beginning(path))
	l.wantLines(t, path, "1")
	rename(t, path, path+".1")
	squeeze(t, path+".1")
	write(t, path, "")
	// Two more generations come and go while the host takes nothing.
	write(t, path, "2\n")
	rename(t, path+".1.gz", path+".2.gz")
	rename(t, path, path+".1")
	squeeze(t, path+".1")
	write(t, path, "3\n")
	l.wantLines(t, path, "1", "2", "3")
	if err := src.Health(t.Context()); err != nil {
		t.Errorf("Health: got %v, want nil", err)
	}
}

func TestRestartAfterCompression(t *testing.T) {
	for _, c := range []struct {
		name string
		gzip func(*testing.T, string)
	}{{"gzip", realGzip}, {"another compressor", squeeze}, {"zstd", squeezeZstd}} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.log")
			write(t, path, "1\n2\n3\n")
			l := newLedger()
			_, stop := l.run(t, beginning(path))
			l.wantLines(t, path, "1", "2", "3")
			stop()
			l.settleAt(path, 2)
			l.forget(path)
			add(t, path, "4\n")
			rename(t, path, path+".3")
			write(t, path+".2", "5\n6\n")
			write(t, path+".1", "7\n")
			write(t, path, "8\n")
			for _, n := range []string{".3", ".2"} {
				c.gzip(t, path+n)
			}
			_, stop = l.run(t, beginning(path))
			l.wantLines(t, path, "3", "4", "5", "6", "7", "8")
			stop()

			// Once is enough: nothing of it comes again.
			l.settle()
			l.forget(path)
			c.gzip(t, path+".1")
			add(t, path, "9\n")
			l.run(t, beginning(path))
			l.wantLines(t, path, "9")
		})
	}
}

// TestRestartInsideCompressedFile restarts in the middle of a file of many
// windows.
func TestRestartInsideCompressedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "0\n")
	l := newLedger()
	_, stop := l.run(t, beginning(path))
	l.wantLines(t, path, "0")
	stop()
	l.settle()
	l.forget(path)
	var text strings.Builder
	var want []string
	for i := range 200_000 {
		line := fmt.Sprintf("%d %x", i, i*i*i)
		want = append(want, line)
		text.WriteString(line + "\n")
	}
	add(t, path, text.String())
	rename(t, path, path+".1")
	squeeze(t, path+".1")
	write(t, path, "end\n")
	want = append(want, "end")

	l.gate = make(chan struct{}, 1)
	var got []string
	for _, part := range []int{70_000, 50_001, len(want)} {
		_, stop := l.run(t, beginning(path))
		for range min(part, len(want)-len(got)) {
			l.gate <- struct{}{}
		}
		until(t, "the lines", func() bool { return len(l.lines(path)) >= min(part, len(want)-len(got)) })
		stop()
		// The gate holds one more than was taken.
		select {
		case <-l.gate:
		default:
		}
		got = append(got, l.lines(path)...)
		l.settle()
		l.forget(path)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d lines, want %d, and the same", len(got), len(want))
	}
}

func TestUnfinishedCompressedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "1\n")
	l := newLedger()
	_, stop := l.run(t, beginning(path))
	l.wantLines(t, path, "1")
	stop()
	l.settle()
	l.forget(path)
	var text strings.Builder
	text.WriteString("1\n")
	var want []string
	for i := range 50_000 {
		line := fmt.Sprintf("%d %x", i, i*i*i)
		want = append(want, line)
		text.WriteString(line + "\n")
	}
	packed := compress(t, text.String())
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path+".1.gz", string(packed[:len(packed)/2]))
	write(t, path, "last\n")
	l.run(t, beginning(path))
	until(t, "what there is", func() bool { return len(l.lines(path)) > 10_000 })
	if slices.Contains(l.lines(path), "last") {
		t.Fatal("the next file was begun before the unfinished one had ended")
	}
	add(t, path+".1.gz", string(packed[len(packed)/2:]))
	l.wantLines(t, path, append(want, "last")...)
}

func TestDamagedCompressedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "1\n2\n")
	l := newLedger()
	_, stop := l.run(t, beginning(path))
	l.wantLines(t, path, "1", "2")
	stop()
	l.settleAt(path, 1)
	l.forget(path)
	whole := compress(t, "1\n2\n3\n")
	rename(t, path, path+".old")
	if err := os.Remove(path + ".old"); err != nil {
		t.Fatal(err)
	}
	write(t, path+".3.gz", string(whole)+"no gzip")
	write(t, path+".2.gz", "not gzip at all")
	write(t, path+".1.gz", string(compress(t, "4\n")[:15]))
	long := time.Now().Add(-time.Hour)
	for i, n := range []string{".3.gz", ".2.gz", ".1.gz"} {
		if err := os.Chtimes(path+n, long, long.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, path, "5\n")
	l.run(t, beginning(path))
	until(t, "the file after the damaged ones", func() bool { return slices.Contains(l.lines(path), "5") })
	if got := l.lines(path); !slices.Equal(got[:2], []string{"2", "3"}) {
		t.Errorf("lines: got %q, want 2 and 3 first", got)
	}
	if n := l.counted("gzip_damaged"); n < 2 {
		t.Errorf("gzip_damaged: got %d, want at least 2", n)
	}
}

// TestCopiedCompressedAndTruncated is a rotation that scripts do:
// gzip -c a.log > a.log.1.gz; : > a.log.
func TestCopiedCompressedAndTruncated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "1\n2\n")
	l := newLedger()
	l.gate = make(chan struct{}, 100)
	l.gate <- struct{}{}
	l.run(t, beginning(path))
	l.wantLines(t, path, "1")
	write(t, path+".1.gz", string(compress(t, "1\n2\n")))
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	add(t, path, "3\n4\n5\n")
	for range 10 {
		l.gate <- struct{}{}
	}
	l.wantLines(t, path, "1", "2", "3", "4", "5")
}

func TestCompressedFilesByGlob(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "export-1.log.gz"), filepath.Join(dir, "export-2.log.gz")
	// A file of two members, as cat makes one of two.
	write(t, first, string(compress(t, "a\nb\n"))+string(compress(t, "c\n")))
	config := beginning(filepath.Join(dir, "*.gz"))
	l := newLedger()
	_, stop := l.run(t, config)
	l.wantLines(t, first, "a", "b", "c")
	write(t, second, string(compress(t, "{\"d\":1}\n")))
	l.wantLines(t, second, `{"d":1}`)
	if got := l.format(second); got != "json" {
		t.Errorf("format: got %q, want json, as its content says", got)
	}
	stop()
	l.settle()
	l.forget(first)
	l.forget(second)
	third := filepath.Join(dir, "export-3.log.gz")
	write(t, third, string(compress(t, "e\n")))
	l.run(t, config)
	l.wantLines(t, third, "e")
	if got := append(l.lines(first), l.lines(second)...); len(got) > 0 {
		t.Errorf("lines again after a restart: %q", got)
	}
}

func TestCompressedFilesByGlobFromTheEnd(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "1.gz")
	write(t, old, string(compress(t, strings.Repeat("old\n", 100_000))))
	config := beginning(filepath.Join(dir, "*.gz"))
	config.Start = "end"
	l := newLedger()
	l.run(t, config)
	until(t, "the stream", func() bool { return len(l.names()) == 1 })
	write(t, filepath.Join(dir, "2.gz"), string(compress(t, "new\n")))
	l.wantLines(t, filepath.Join(dir, "2.gz"), "new")
	if got := l.lines(old); len(got) > 0 {
		t.Errorf("%d lines of a file that was there before, want none", len(got))
	}
}

// TestLogrotate has the real logrotate rotate, compress and copy.
func TestLogrotate(t *testing.T) {
	if _, err := exec.LookPath("logrotate"); err != nil {
		t.Skip("needs logrotate; on Debian and Ubuntu: apt-get install logrotate")
	}
	for _, c := range []struct{ name, options string }{
		{"compress", "compress"},
		{"compress, delayed", "compress\ndelaycompress"},
		{"compress with dates", "compress\ndateext\ndateformat -%Y%m%d-%s"},
		{"copytruncate and compress", "compress\ncopytruncate"},
		{"create", "nocompress\ncreate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a.log")
			config := filepath.Join(dir, "conf")
			write(t, config, fmt.Sprintf("%s {\nrotate 20\nsu root root\nsize 1\nmissingok\n%s\n}\n", path, c.options))
			if os.Getuid() != 0 {
				write(t, config, fmt.Sprintf("%s {\nrotate 20\nsize 1\nmissingok\n%s\n}\n", path, c.options))
			}
			l := newLedger()
			write(t, path, "0\n")
			_, stop := l.run(t, beginning(path))
			l.wantLines(t, path, "0") // what is rotated away before it was ever seen is not followed
			var got, want []string
			want = append(want, "0")
			for i := 1; i <= 12; i++ {
				for j := range 5 {
					line := fmt.Sprintf("%d.%d", i, j)
					want = append(want, line)
					add(t, path, line+"\n")
				}
				if i%4 == 0 {
					// A restart, from what was durable.
					until(t, "the lines", func() bool { return len(got)+len(l.lines(path)) >= len(want) })
					stop()
					got = append(got, l.lines(path)...)
					l.settle()
					l.forget(path)
				}
				if i%2 == 0 {
					until(t, "a second, which the dates tell apart", func() bool {
						cmd := exec.Command("logrotate", "-f", "-s", filepath.Join(dir, "state"), config)
						out, err := cmd.CombinedOutput()
						if err != nil && !strings.Contains(string(out), "already exists") {
							t.Fatalf("logrotate: %v\n%s", err, out)
						}
						info, err := os.Stat(path)
						return err != nil || info.Size() == 0
					})
				}
				if i%4 == 0 {
					_, stop = l.run(t, beginning(path))
				}
			}
			add(t, path, "end\n")
			want = append(want, "end")
			until(t, "the lines", func() bool { return len(got)+len(l.lines(path)) >= len(want) })
			if got = append(got, l.lines(path)...); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q; counters %v", got, want, l.counts)
			}
		})
	}
}

// FuzzGzipped reads a compressed file that arrives in two pieces, forwards and
// backwards, and compares it with its content.
func FuzzGzipped(f *testing.F) {
	f.Add([]byte("some content"), 10, 3)
	f.Add(bytes.Repeat([]byte("0123456789"), 40_000), 500, 200_000)
	f.Fuzz(func(t *testing.T, content []byte, cut, offset int) {
		packed := compress(t, string(content))
		path := filepath.Join(t.TempDir(), "f.gz")
		cut = max(0, min(cut, len(packed)))
		write(t, path, string(packed[:cut]))
		g, _, err := openSegment(path)
		if err != nil {
			t.Fatal(err)
		}
		defer g.close()
		buf := make([]byte, chunk)
		check := func(offset int) {
			t.Helper()
			n, err := g.readAt(buf, int64(offset))
			if n > 0 && !bytes.Equal(buf[:n], content[offset:offset+n]) || n < len(buf) && !errors.Is(err, io.EOF) {
				t.Fatalf("at %d: %d other bytes, %v", offset, n, err)
			}
		}
		offset = max(0, min(offset, len(content)))
		check(offset)
		check(0)
		add(t, path, string(packed[cut:]))
		for _, at := range []int{0, offset, offset / 2, len(content)} {
			n, err := g.readAt(buf, int64(at))
			want := content[at:min(len(content), at+len(buf))]
			if !bytes.Equal(buf[:n], want) || n < len(buf) && !errors.Is(err, io.EOF) {
				t.Fatalf("at %d of the whole: got %d bytes and %v, want %d", at, n, err, len(want))
			}
		}
		if size, err := g.packed.size(); err != nil || size != int64(len(content)) {
			t.Errorf("size: got %d, %v, want %d", size, err, len(content))
		}
	})
}

// FuzzGzip reads anything that has the name of a compressed file.
func FuzzGzip(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		path := filepath.Join(t.TempDir(), "f.gz")
		write(t, path, string(packed))
		g, _, err := openSegment(path)
		if err != nil {
			t.Fatal(err)
		}
		defer g.close()
		buf := make([]byte, chunk)
		if err := g.check(buf); err != nil {
			t.Fatal(err)
		}
		if err := g.read(t.Context(), buf, func([]byte) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}
