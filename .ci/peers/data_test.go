package peers

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/winevent"
)

// read returns a file of the public collections, which lie beside the repository or
// where IRONPOST_TEST_DATA says.
func read(t *testing.T, name string) []byte {
	t.Helper()
	root := os.Getenv("IRONPOST_TEST_DATA")
	if root == "" {
		root = filepath.Join("..", "shared", "data")
	}
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatalf("read the public collections, which IRONPOST_TEST_DATA may name: %v", err)
	}
	return content
}

// unpack returns the files of a .tar.gz.
func unpack(t *testing.T, name string) fstest.MapFS {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(read(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	out := fstest.MapFS{}
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.ToSlash(filepath.Clean(header.Name))] = &fstest.MapFile{Data: data, Mode: 0o644}
	}
}

// windows returns the recorded events of SigmaHQ's regression data, and the files
// that they are read from.
func windows(t *testing.T) (out []*winevent.Event, files [][]byte) {
	t.Helper()
	for name, f := range sorted(unpack(t, "sigma-regression.tar.gz")) {
		if ending := filepath.Ext(name); ending != ".json" && ending != ".jsoncls" {
			continue
		}
		events, err := winevent.ParseAll(f.Data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out, files = append(out, events...), append(files, f.Data)
	}
	return out, files
}

// line is one of OpenSSH_2k.log as a parser gives it.
type line struct{ stamp, message, raw string }

var (
	_ match.Event = (*line)(nil)
	_ match.Event = (*winevent.Event)(nil)
)

func (l *line) Sources(s *match.Scratch) {
	s.Source(sigma.LogSource{Product: "linux", Service: "sshd"})
	s.Source(sigma.LogSource{Product: "linux", Service: "auth"})
}

func (l *line) Values(s *match.Scratch) {
	s.Text("host", "LabSZ")
	s.Text("process", "sshd")
	s.Int("pid", 24200)
	s.Text("message", l.message)
	s.Line(l.raw)
}

// openSSH returns the lines of OpenSSH_2k.log.
func openSSH(t *testing.T) []*line {
	t.Helper()
	var out []*line
	for raw := range strings.Lines(string(read(t, "loghub/OpenSSH_2k.log"))) {
		raw = strings.TrimRight(raw, "\r\n")
		_, message, ok := strings.Cut(raw, "]: ")
		if !ok {
			t.Fatalf("%q is no line of sshd", raw)
		}
		out = append(out, &line{raw[:len("Dec 10 06:55:46")], message, raw})
	}
	return out
}
