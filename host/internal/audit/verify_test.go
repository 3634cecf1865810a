package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// written is a log of so many records in files of three, without the file head.
func written(t testing.TB, dir string, records int) (files [][]byte, last Head) {
	t.Helper()
	l, err := Open(Config{Dir: dir, FileBytes: 900, Note: "host h1"})
	if err != nil {
		t.Fatal(err)
	}
	for n := range records - 1 {
		if last, err = l.Append(change(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, headName)); err != nil {
		t.Fatal(err)
	}
	firsts, err := list(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, first := range firsts {
		b, err := os.ReadFile(filepath.Join(dir, fileName(first)))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 0 { // the last file may have just begun
			files = append(files, b)
		} else if err := os.Remove(filepath.Join(dir, fileName(first))); err != nil {
			t.Fatal(err)
		}
	}
	return files, last
}

// put writes the files of a log, by the number of their first record.
func put(t testing.TB, dir string, files map[uint64][]byte) {
	t.Helper()
	old, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for first, text := range files {
		if err := os.WriteFile(filepath.Join(dir, fileName(first)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryByteCounts changes each byte of a log in two ways: none goes unnoticed,
// and the place that is named is that of its record.
func TestEveryByteCounts(t *testing.T) {
	dir := t.TempDir()
	files, _ := written(t, dir, 7)
	if len(files) != 3 {
		t.Fatalf("got %d files, want 3", len(files))
	}
	whole := bytes.Join(files, nil)
	starts := map[int]uint64{}
	all := map[uint64][]byte{}
	n := uint64(1)
	for _, f := range files {
		all[n] = f
		n += uint64(bytes.Count(f, []byte("\n")))
	}
	record := uint64(1)
	for i := range whole {
		starts[i] = record
		if whole[i] == '\n' {
			record++
		}
	}
	log := fstest.MapFS{}
	for first, text := range all {
		log[fileName(first)] = &fstest.MapFile{Data: text}
	}
	if r, err := verify(log); err != nil || !r.OK {
		t.Fatalf("got %+v, %v", r, err)
	}
	at := 0
	for first := uint64(1); first < record; {
		text := all[first]
		for i := range text {
			for _, to := range []byte{text[i] ^ 1, '\n', 0} {
				if to == text[i] {
					continue
				}
				edited := bytes.Clone(text)
				edited[i] = to
				log[fileName(first)].Data = edited
				r, err := verify(log)
				if err != nil {
					t.Fatal(err)
				}
				if r.OK {
					t.Fatalf("byte %d of record %d: %q for %q goes unnoticed", i, starts[at+i], to, text[i])
				}
				if p := r.Problem; p.Fault != FaultEdited || p.Sequence != starts[at+i] || p.File != fileName(first) {
					t.Fatalf("byte %d of record %d in %s, %q for %q: got %+v", i, starts[at+i], fileName(first), to, text[i], p)
				}
			}
		}
		log[fileName(first)].Data = text
		at += len(text)
		first += uint64(bytes.Count(text, []byte("\n")))
	}
}

func TestTampering(t *testing.T) {
	work := t.TempDir()
	files, last := written(t, work, 9)
	if len(files) != 3 {
		t.Fatalf("got %d files, want 3", len(files))
	}
	a, b, c := bytes.SplitAfter(files[0], []byte("\n"))[:3], bytes.SplitAfter(files[1], []byte("\n"))[:3], bytes.SplitAfter(files[2], []byte("\n"))[:3]
	join := func(l ...[]byte) []byte { return bytes.Join(l, nil) }
	forge := func(seq uint64, prev Hash) []byte {
		r := change(66)
		r.Sequence, r.Prev = seq, prev
		text, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before, err := decode(b[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		files map[uint64][]byte
		heads []Head
		want  string // FAULT RECORD FILE:LINE, "" for none
	}{
		{"nothing", map[uint64][]byte{1: files[0], 4: files[1], 7: files[2]}, []Head{last}, ""},
		{"drop the first", map[uint64][]byte{1: join(a[1], a[2]), 4: files[1], 7: files[2]}, nil, "dropped 1 1:1"},
		{"drop one", map[uint64][]byte{1: join(a[0], a[2]), 4: files[1], 7: files[2]}, nil, "dropped 2 1:2"},
		{"drop the last of a file", map[uint64][]byte{1: join(a[0], a[1]), 4: files[1], 7: files[2]}, nil, "dropped 3 4:1"},
		{"drop several", map[uint64][]byte{1: files[0], 4: b[0], 7: files[2]}, nil, "dropped 5 7:1"},
		{"drop a file", map[uint64][]byte{1: files[0], 7: files[2]}, nil, "dropped 4 7:1"},
		{"drop the first file", map[uint64][]byte{4: files[1], 7: files[2]}, nil, "dropped 1 4:1"},
		{"swap two", map[uint64][]byte{1: files[0], 4: join(b[1], b[0], b[2]), 7: files[2]}, nil, "moved 5 4:1"},
		{"swap over files", map[uint64][]byte{1: join(a[0], a[1], b[0]), 4: join(a[2], b[1], b[2]), 7: files[2]}, nil, "moved 4 1:3"},
		{"move one to the end", map[uint64][]byte{1: join(a[0], a[2]), 4: files[1], 7: join(c[0], c[1], c[2], a[1])}, nil, "moved 3 1:2"},
		{"write one twice", map[uint64][]byte{1: join(a[0], a[1], a[1], a[2]), 4: files[1], 7: files[2]}, nil, "moved 2 1:3"},
		{"rename a file", map[uint64][]byte{1: files[0], 5: files[1], 7: files[2]}, nil, "moved 4 5:1"},
		{"swap files", map[uint64][]byte{1: files[1], 4: files[0], 7: files[2]}, nil, "moved 4 1:1"},
		{"cut the end off", map[uint64][]byte{1: files[0], 4: files[1], 7: join(c[0], c[1])}, []Head{last}, "truncated 9 7:2"},
		{"cut a file off", map[uint64][]byte{1: files[0], 4: files[1]}, []Head{last}, "truncated 7 4:3"},
		{"cut within the last record", map[uint64][]byte{1: files[0], 4: files[1], 7: join(c[0], c[1], c[2][:50])}, []Head{last}, "truncated 9 7:2"},
		{"cut everything off", map[uint64][]byte{}, []Head{last}, "truncated 1 :0"},
		{"cut within a file", map[uint64][]byte{1: files[0], 4: join(b[0], b[1], b[2][:50]), 7: files[2]}, nil, "edited 6 4:3"},
		{"empty a file", map[uint64][]byte{1: files[0], 4: {}, 7: files[2]}, nil, "dropped 4 7:1"},
		{"append a forged one", map[uint64][]byte{1: files[0], 4: files[1], 7: join(files[2], forge(10, Hash{1}))}, nil, "forged 10 7:4"},
		{"append one with a forged number", map[uint64][]byte{1: files[0], 4: files[1], 7: join(files[2], forge(12, last.Hash))}, nil, "dropped 10 7:4"},
		{"insert a forged one", map[uint64][]byte{1: files[0], 4: join(b[0], forge(5, before.Hash), b[1], b[2]), 7: files[2]}, nil, "moved 5 4:3"},
		{"replace one by a forged one", map[uint64][]byte{1: files[0], 4: join(b[0], forge(5, before.Hash), b[2]), 7: files[2]}, nil, "forged 6 4:3"},
		{"rewrite the end", map[uint64][]byte{1: files[0], 4: join(b[0], forge(5, before.Hash))}, []Head{before.head(), last}, "truncated 6 4:2"},
		{"rewrite it to the same length", map[uint64][]byte{1: files[0], 4: join(b[0], forge(5, before.Hash))}, []Head{{5, Hash{2}}}, "rewritten 5 4:2"},
		{"put rubbish between", map[uint64][]byte{1: files[0], 4: join(b[0], []byte("{}\n"), b[1], b[2]), 7: files[2]}, nil, "edited 5 4:2"},
		{"put a long line between", map[uint64][]byte{1: files[0], 4: join(b[0], bytes.Repeat([]byte("x"), 3*MaxLine), b[1], b[2]), 7: files[2]}, nil, "edited 5 4:2"},
		{"forge the first", map[uint64][]byte{1: forge(1, Hash{1})}, nil, "forged 1 1:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			put(t, work, tt.files)
			r, err := Verify(work, tt.heads...)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if p := r.Problem; p != nil {
				got = fmt.Sprintf("%s %d %s:%d", p.Fault, p.Sequence, strings.TrimLeft(strings.TrimSuffix(p.File, suffix), "0"), p.Line)
				t.Logf("%+v", *p)
			}
			if got != tt.want || r.OK != (got == "") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func (r Record) head() Head { return Head{r.Sequence, r.Hash} }

// texts are files that a host may find, and what fuzzing begins with.
func texts(t testing.TB) [][]byte {
	t.Helper()
	files, _ := written(t, t.TempDir(), 4)
	whole := bytes.Join(files, nil)
	return [][]byte{
		whole, whole[:len(whole)-1], whole[:len(whole)/2],
		{},
		[]byte("\n"), make([]byte, 100), append(bytes.Clone(whole), whole...),
		[]byte(`{"seq":1,"kind":"begin","hash":"` + strings.Repeat("0", 64) + "\"}\n"), bytes.Repeat([]byte("x"), MaxLine+1),
	}
}

// A host goes on with whatever it finds, and hides nothing by that.
func TestOpenGoesOnWithAnything(t *testing.T) {
	dir := t.TempDir()
	for i, text := range texts(t) {
		put(t, dir, map[uint64][]byte{1: text})
		before, err := Verify(dir)
		if err != nil {
			t.Fatal(err)
		}
		l := open(t, dir)
		add(t, l, change(1))
		closed(t, l)
		after, err := Verify(dir)
		if err != nil || after.OK != before.OK {
			t.Errorf("text %d: before %+v, after a start %+v, %v", i, before.Problem, after.Problem, err)
		}
	}
}

// FuzzVerify reads any file: what passes is a chain that holds, as the test reckons
// for itself, and at most one end that is torn.
func FuzzVerify(f *testing.F) {
	for _, text := range texts(f) {
		if len(text) < MaxLine {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := verify(fstest.MapFS{fileName(1): {Data: text}})
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK {
			if p := r.Problem; p == nil || p.File != fileName(1) || p.Detail == "" {
				t.Errorf("got the problem %+v", p)
			}
			return
		}
		prev, records := strings.Repeat("0", 64), uint64(0)
		for line := range bytes.Lines(text) {
			if !bytes.HasSuffix(line, []byte("\n")) {
				if r.Torn != int64(len(line)) {
					t.Errorf("got %+v, and an end of %d bytes", r, len(line))
				}
				break
			}
			var got struct {
				Seq        uint64
				Prev, Hash string
			}
			sum := sha256.Sum256(line[:max(len(line)-76, 0)])
			if err := json.Unmarshal(line, &got); err != nil || got.Hash != hex.EncodeToString(sum[:]) || got.Prev != prev || got.Seq != records+1 {
				t.Fatalf("line %d passes: %q", records+1, line)
			}
			prev, records = got.Hash, records+1
		}
		if r.Records != records {
			t.Errorf("got %d records, want %d", r.Records, records)
		}
	})
}
