package symbol_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/symbol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// files are a program, and packages of which it uses a part.
var files = map[string]string{
	"go.mod": "module example.invalid/app\n\ngo 1.24\n",
	"cmd/tool/main.go": `package main

import (
	"example.invalid/app/lib"
	"example.invalid/app/other.v2"
)

func main() {
	t := &lib.T{N: len(lib.Used())}
	t.Method()
	println(lib.V{}.Get(), lib.Small(t.N), lib.Map([]int{1}, func(n int) int { return n + t.N })[0], lib.Closing(t.N)(), other.Dotted())
	var box lib.Box[string]
	box.Put("x")
	local()
}

//go:noinline
func local() { println("local") }
`,
	"lib/lib.go": `package lib

type T struct{ N int }

//go:noinline
func (t *T) Method() { t.N++ }

//go:noinline
func (t *T) Gone() { t.N-- }

type V struct{}

//go:noinline
func (V) Get() int { return 1 }

//go:noinline
func Used() string { return "used" }

//go:noinline
func Unused() string { return "unused" }

// Small is inlined.
func Small(n int) int { return n * 3 }

// SmallUnused would be.
func SmallUnused(n int) int { return n * 5 }

//go:noinline
func Map[E any](in []E, f func(E) E) (out []E) {
	for _, e := range in {
		out = append(out, f(e))
	}
	return out
}

//go:noinline
func Closing(n int) func() int { return func() int { n++; return n } }

type Box[E any] struct{ all []E }

//go:noinline
func (b *Box[E]) Put(e E) { b.all = append(b.all, e) }

//go:noinline
func (b *Box[E]) Take() { b.all = nil }
`,
	"other.v2/other.go": `package other

//go:noinline
func Dotted() int { return 2 }

//go:noinline
func DottedUnused() int { return 3 }
`,
}

// built builds the program, with further environment and arguments.
func built(t *testing.T, env string, args ...string) *os.File {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "program")
	cmd := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-o", out}, args...), "./cmd/tool")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOWORK=off", "GOPROXY=off")
	if env != "" {
		cmd.Env = append(cmd.Env, strings.Fields(env)...)
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	return opened(t, out)
}

func opened(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// look returns what a program has of symbols, each "PATH SYMBOL".
func look(t *testing.T, f *os.File, wanted ...string) map[string][]string {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var q symbol.Query
	for _, w := range wanted {
		path, name, _ := strings.Cut(w, " ")
		q.Add(path, name)
	}
	seen, err := symbol.Look(t.Context(), f, info.Size(), &q, symbol.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for i, w := range wanted {
		if len(seen[i].Names) > 0 {
			out[w] = seen[i].Names
		}
	}
	return out
}

// TestPrograms: what is used is present, what is not is not, in programs of several forms. The
// words of the query are those of golang/vulndb.
func TestPrograms(t *testing.T) {
	const lib, other = "example.invalid/app/lib", "example.invalid/app/other.v2"
	want := map[string][]string{
		lib + " T.Method": {lib + ".(*T).Method"},
		lib + " V.Get":    {lib + ".V.Get"},
		lib + " Used":     {lib + ".Used"},
		lib + " Small":    {lib + ".Small"}, // inlined
		lib + " Map":      {lib + ".Map[go.shape.int]"},
		lib + " Closing":  {lib + ".Closing", lib + ".Closing.func1"},
		lib + " Box.Put":  {lib + ".(*Box[go.shape.string]).Put"},
		other + " Dotted": {"example.invalid/app/other%2ev2.Dotted"},
		other + " ":       {"example.invalid/app/other%2ev2.Dotted"}, // the whole package
		"main local":      {"main.local"},
	}
	absent := []string{
		lib + " T.Gone", lib + " Unused", lib + " SmallUnused", lib + " Box.Take", lib + " T", lib + " Method", other + " DottedUnused",
		"example.invalid/app Used", "lib Used", "app/lib Used", "example.invalid/app/unknown ", "crypto/x509 Certificate.Verify", "main.local local",
	}
	var wanted []string
	for w := range want {
		wanted = append(wanted, w)
	}
	wanted = append(wanted, absent...)
	for _, test := range []struct {
		name, env string
		args      []string
	}{
		{"as it is", "", nil},
		{"stripped", "", []string{"-ldflags=-s -w", "-trimpath"}},
		{"position independent", "", []string{"-buildmode=pie", "-ldflags=-s -w"}},
		{"PE, stripped", "GOOS=windows GOARCH=amd64", []string{"-ldflags=-s -w"}},
		{"Mach-O", "GOOS=darwin GOARCH=arm64", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if testing.Short() && test.env != "" {
				t.Skip("SKIPPED: the runtime would be compiled for another system")
			}
			f := built(t, test.env, test.args...)
			if d := cmp.Diff(want, look(t, f, wanted...)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			b := symbol.ReadBuild(f)
			if b.Main != "example.invalid/app/cmd/tool" || b.GOOS == "" || !b.Runs([]string{"plan9", b.GOOS}, nil) || b.Runs([]string{"plan9"}, nil) {
				t.Errorf("its build: got %+v", b)
			}
		})
	}
}

// TestNoSections: a program without section headers, as sstrip(1) leaves it, is searched.
func TestNoSections(t *testing.T) {
	whole, err := os.ReadFile(built(t, "", "-ldflags=-s -w").Name())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		whole[0x28+i] = 0 // e_shoff
	}
	clear(whole[0x3c:0x40]) // e_shnum, e_shstrndx
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	const used, unused = "example.invalid/app/lib Used", "example.invalid/app/lib Unused"
	got := look(t, opened(t, path), used, unused)
	if len(got[used]) != 1 || len(got[unused]) != 0 {
		t.Errorf("got %v, want %s alone", got, used)
	}
}

// TestAgainstNM holds the names of a large program, Go's own command, against those that go tool nm
// lists.
func TestAgainstNM(t *testing.T) {
	program, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		t.Fatal(err)
	}
	listed, err := exec.CommandContext(t.Context(), "go", "tool", "nm", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	f := opened(t, program)
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var q symbol.Query
	var names []string
	for line := range strings.Lines(string(listed)) {
		// Lines are "address T name". Of code in assembly and of what the linker made, names are
		// others; the query is made of names of net/http's functions and methods by hand.
		fields := strings.Fields(line)
		if len(fields) != 3 || !strings.EqualFold(fields[1], "t") {
			continue
		}
		rest, ok := strings.CutPrefix(fields[2], "net/http.")
		if !ok || strings.ContainsAny(rest, "[]·-") || strings.Contains(rest, ".func") || strings.Contains(rest, "wrap") || strings.HasPrefix(rest, "init") {
			continue
		}
		names = append(names, fields[2])
		q.Add("net/http", strings.NewReplacer("(*", "", ")", "").Replace(rest))
		q.Add("net/http", rest+"Never")
	}
	if len(names) < 500 {
		t.Fatalf("nm lists %d functions of net/http", len(names))
	}
	seen, err := symbol.Look(t.Context(), f, info.Size(), &q, symbol.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if !slices.Contains(seen[2*i].Names, name) {
			t.Errorf("%s is in the program, got %v", name, seen[2*i].Names)
		}
		if len(seen[2*i+1].Names) > 0 {
			t.Errorf("%sNever is in no program, got %v", name, seen[2*i+1].Names)
		}
	}
}

// TestVendored: a copy within another package is still the package, the standard library's own
// copy is not the module.
func TestVendored(t *testing.T) {
	var q symbol.Query
	q.Add("golang.org/x/net/http2", "Framer.ReadFrame")
	q.Add("gopkg.in/yaml.v3", "Unmarshal")
	table := program("example.invalid/a/vendor/golang.org/x/net/http2.(*Framer).ReadFrame", "vendor/golang.org/x/net/http2.(*Framer).ReadFrame", "gopkg.in/yaml%2ev3.Unmarshal")
	seen, err := symbol.Look(t.Context(), bytes.NewReader(table), int64(len(table)), &q, symbol.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := []symbol.Seen{{Names: []string{"example.invalid/a/vendor/golang.org/x/net/http2.(*Framer).ReadFrame"}}, {Names: []string{"gopkg.in/yaml%2ev3.Unmarshal"}}}
	if d := cmp.Diff(want, seen); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// program is a file with a table of functions of some names, after the word that a PE begins with.
func program(names ...string) []byte { return table(0xfffffff1, binary.LittleEndian, 8, names...) }

// table is a program of a version of Go, order of bytes, and size of words.
func table(magic uint32, order binary.AppendByteOrder, word int, names ...string) []byte {
	out := append([]byte("MZ"), make([]byte, 62)...)
	text := "\x00" + strings.Join(names, "\x00") + "\x00"
	head := order.AppendUint32(nil, magic)
	head = append(head, 0, 0, 1, byte(word))
	words := []int{len(names), 1, 0, 72, 72 + len(text), 0, 0, 0}
	if magic == 0xfffffffa {
		words = slices.Delete(words, 2, 3) // it has no start of the text
	}
	for _, n := range words {
		if word == 4 {
			head = order.AppendUint32(head, uint32(n))
		} else {
			head = order.AppendUint64(head, uint64(n))
		}
	}
	head = append(head, make([]byte, 72-len(head))...)
	return append(append(append(out, head...), text...), make([]byte, 64)...)
}

// TestForms: tables of the versions of Go since 1.16, of 32 and 64 bits and both orders of bytes.
func TestForms(t *testing.T) {
	var q symbol.Query
	q.Add("a", "F")
	q.Add("a", "G")
	for _, magic := range []uint32{0xfffffffa, 0xfffffff0, 0xfffffff1} {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			for _, word := range []int{4, 8} {
				data := table(magic, order, word, "a.F")
				seen, err := symbol.Look(t.Context(), bytes.NewReader(data), int64(len(data)), &q, symbol.Limits{})
				if err != nil || len(seen[0].Names) != 1 || len(seen[1].Names) != 0 {
					t.Errorf("%#x, %v, words of %d bytes: got %v, %v", magic, order, word, seen, err)
				}
			}
		}
	}
}

// TestHostile: what makes no sense is an error, bounds hold.
func TestHostile(t *testing.T) {
	var q symbol.Query
	q.Add("a", "F")
	long := program("a.F", "b."+strings.Repeat("x", 1<<20), "a.F.func1")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	wild := program("a.F")
	for i := 64 + 8 + 3*8; i < 64+8+4*8; i++ {
		wild[i] = 0xff // the offset of the names
	}
	old := program("a.F")
	old[64] = 0xfb
	for _, test := range []struct {
		name   string
		ctx    context.Context
		data   []byte
		limits symbol.Limits
		want   error
		names  int
	}{
		{"a name of a megabyte", t.Context(), long, symbol.Limits{}, nil, 2},
		{"too many names", t.Context(), long, symbol.Limits{Names: 1 << 10}, symbol.ErrTooLarge, 0},
		{"beyond the search", t.Context(), append(append([]byte("MZ"), make([]byte, 1<<20)...), long...), symbol.Limits{Search: 1 << 19}, symbol.ErrNoTable, 0},
		{"empty", t.Context(), nil, symbol.Limits{}, symbol.ErrNoTable, 0},
		{"a script", t.Context(), []byte("#!/bin/sh\n"), symbol.Limits{}, symbol.ErrNoTable, 0},
		{"ELF and no more", t.Context(), []byte("\x7fELF"), symbol.Limits{}, symbol.ErrNoTable, 0},
		{"cancelled", cancelled, long, symbol.Limits{}, context.Canceled, 0},
		{"names beyond the end", t.Context(), wild, symbol.Limits{}, symbol.ErrNoTable, 0},
		{"of Go 1.15", t.Context(), old, symbol.Limits{}, symbol.ErrOld, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			seen, err := symbol.Look(test.ctx, bytes.NewReader(test.data), int64(len(test.data)), &q, test.limits)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if err == nil && len(seen[0].Names) != test.names {
				t.Errorf("got %q, want %d names", seen[0].Names, test.names)
			}
		})
	}
}

func FuzzLook(f *testing.F) {
	f.Add(program("a.F", "a.(*T[...]).M", "a/b%2ec.F.func1"))
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Add([]byte("\xcf\xfa\xed\xfe\x0c\x00\x00\x01"))
	var q symbol.Query
	q.Add("a", "F")
	q.Add("a", "T.M")
	q.Add("a/b.c", "")
	f.Fuzz(func(t *testing.T, data []byte) {
		seen, err := symbol.Look(t.Context(), bytes.NewReader(data), int64(len(data)), &q, symbol.Limits{Search: 1 << 20, Names: 1 << 16})
		if (err == nil) != (len(seen) == q.Len()) {
			t.Errorf("got %d results of %d, and %v", len(seen), q.Len(), err)
		}
		symbol.ReadBuild(bytes.NewReader(data))
	})
}

// BenchmarkLook looks for a symbol in Go's own command.
func BenchmarkLook(b *testing.B) {
	program, err := exec.LookPath("go")
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(program)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	var q symbol.Query
	q.Add("crypto/x509", "Certificate.Verify")
	b.ReportAllocs()
	for b.Loop() {
		seen, err := symbol.Look(b.Context(), f, info.Size(), &q, symbol.Limits{})
		if err != nil || len(seen[0].Names) == 0 {
			b.Fatal(seen, err)
		}
	}
}
