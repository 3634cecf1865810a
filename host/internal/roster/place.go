package roster

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"sync"

	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/supervise"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// launched is a process from its start until it is served.
type launched struct {
	plugin    *plugin // whose bytes it executes
	conn      *link.Conn
	section   map[string]any
	listeners []*pb.Listener
	wants     []pb.Kind // once it is configured
}

// freshProcesses are the processes of one plugin that are not yet at their end:
// at most the one that is served and its successor.
type freshProcesses struct {
	mu   sync.Mutex
	list map[*link.Conn]*launched
}

func (f *freshProcesses) put(l *launched) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.list { // one that was killed before it was served
		select {
		case <-c.Done():
			delete(f.list, c)
		default:
		}
	}
	if f.list == nil {
		f.list = make(map[*link.Conn]*launched)
	}
	f.list[l.conn] = l
}

func (f *freshProcesses) get(c *link.Conn) *launched {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list[c]
}

func (f *freshProcesses) drop(c *link.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.list, c)
}

// failures is what is kept of a plugin that gets nothing done.
type failures struct {
	// Of is the digest of its bytes and its configuration: with others it may do
	// better.
	Of string `json:"of"`
	supervise.Past
}

// pastOf returns how the plugin fared in earlier lives of the host, with these
// bytes and this configuration.
func (r *Roster) pastOf(p *plugin) supervise.Past {
	kept, ok, err := r.past.Get(p.name())
	if err != nil || !ok || kept.Of != r.situation(p) {
		return supervise.Past{}
	}
	return kept.Past
}

// keepPast keeps how the plugin fares.
func (r *Roster) keepPast(p *plugin, past supervise.Past) {
	var err error
	if past == (supervise.Past{}) {
		err = r.past.Delete(p.name())
	} else {
		err = r.past.Put(p.name(), failures{r.situation(p), past})
	}
	if err != nil {
		r.log.Warn("how a plugin fares is not remembered over a restart of the host", "plugin", p.name(), "error", err)
	}
}

// situation identifies the bytes and the configuration of a plugin.
func (r *Roster) situation(p *plugin) string {
	h := sha256.New()
	h.Write([]byte(p.digest))
	if section, err := r.section(p); err == nil {
		if text, err := json.Marshal(section); err == nil { // maps are sorted
			h.Write(text)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
