package tail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/sdk/event"
)

func TestOutputOfContainers(t *testing.T) {
	id, other := strings.Repeat("0a", 32), strings.Repeat("b1", 32)
	for _, c := range []struct{ path, want string }{
		{"/var/lib/docker/containers/" + id + "/" + id + "-json.log", id},
		{"/srv/docker/containers/" + id + "/" + id + "-json.log.1", id},
		{"/var/lib/docker/containers/" + id + "/" + id + "-json.log.2.gz", id},
		{"/var/lib/docker/containers/" + id + "/" + other + "-json.log", ""},
		{"/var/lib/docker/containers/" + id[1:] + "/" + id[1:] + "-json.log", ""},
		{"/var/lib/docker/containers/" + strings.ToUpper(id) + "/" + strings.ToUpper(id) + "-json.log", ""},
		{"/var/log/" + id + "-json.log", ""},
		{"/var/log/auth.log", ""},
	} {
		if got := outputOf(c.path); got != c.want {
			t.Errorf("%s: got %q, want %q", c.path, got, c.want)
		}
	}
}

// TestContainerStream: what a container wrote is told as a container's, also when
// it is read as a file, or through a link.
func TestContainerStream(t *testing.T) {
	dir, id := t.TempDir(), strings.Repeat("0a", 32)
	output := filepath.Join(dir, "containers", id, id+"-json.log")
	if err := os.MkdirAll(filepath.Dir(output), 0o700); err != nil {
		t.Fatal(err)
	}
	line := `{"log":"hello\\n","stream":"stdout","time":"2026-03-01T12:00:00Z"}`
	write(t, output, line+"\n")
	link, own := filepath.Join(dir, "web.log"), filepath.Join(dir, "own.log")
	if err := os.Symlink(output, link); err != nil {
		t.Skip(err)
	}
	write(t, own, line+"\n")
	for path, want := range map[string]struct {
		provenance event.Provenance
		peer       string
	}{
		output: {event.ProvenanceContainer, "container:" + id},
		link:   {event.ProvenanceContainer, "container:" + id},
		own:    {event.ProvenanceHost, ""},
	} {
		l := newLedger()
		l.run(t, beginning(path))
		l.wantLines(t, path, line)
		l.mu.Lock()
		got := l.streams[path].config
		l.mu.Unlock()
		if got.Provenance != want.provenance || got.Peer != want.peer || got.Format != "json" {
			t.Errorf("%s: got %v of %q in %q, want %v of %q in json", path, got.Provenance, got.Peer, got.Format, want.provenance, want.peer)
		}
	}
}
