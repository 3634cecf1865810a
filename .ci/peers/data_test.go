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
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/winevent"
	own "github.com/ironpost/ironpost/plugins/parser-syslog/syslog"
	"github.com/ironpost/ironpost/sdk/event"
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

// windowsLogs are Windows events as parser-windows gives them.
func windowsLogs(events []*winevent.Event) []*event.LogEvent {
	stream := &event.Stream{ID: 1, Name: "windows", Plugin: "source-file", Format: "windows-event", Provenance: event.ProvenanceHost}
	at := time.Date(2024, 12, 10, 0, 0, 0, 0, time.UTC)
	var out []*event.LogEvent
	for i, e := range events {
		l := &event.LogEvent{
			Stream: stream, Sequence: uint64(i), Time: at, ObservedTime: at, Host: e.Get("Computer"),
			Message: strings.Join([]string{e.Get("Provider_Name"), e.Get("EventID"), e.Get("Channel")}, " "),
		}
		for _, f := range e.Fields() {
			if !f.Null {
				l.Fields = append(l.Fields, event.Field{Key: f.Name, Value: f.Text})
			}
		}
		out = append(out, l)
	}
	return out
}

// syslogLogs are lines as parser-syslog gives them.
func syslogLogs(t *testing.T, lines [][]byte) (out []*event.LogEvent) {
	t.Helper()
	stream := &event.Stream{ID: 2, Name: "auth.log", Plugin: "source-file", Format: "syslog", TimeZone: "UTC", Provenance: event.ProvenanceHost}
	at := time.Date(2024, 12, 31, 0, 0, 0, 0, time.UTC)
	var p own.Parser
	for i, b := range lines {
		l := &event.LogEvent{}
		if err := p.Parse(event.RawLog{Stream: stream, ObservedTime: at, Line: b}, l); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		l.Stream, l.Sequence, l.ObservedTime = stream, uint64(i), at
		out = append(out, l.Clone())
	}
	return out
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
