package roster

import (
	"github.com/ironpost/ironpost/host/internal/catalog"
)

// descriptions is what is kept of the plugins' answers.
type descriptions interface {
	Get(digest string) (description, bool, error)
	Put(digest string, d description) error
}

// lasting keeps descriptions in a memory.
type lasting struct {
	memory *catalog.Memory
	host   string
}

func (l lasting) Get(digest string) (description, bool, error) {
	b, ok := l.memory.Description(digest, l.host)
	return description{l.host, b}, ok, nil
}

func (l lasting) Put(digest string, d description) error {
	l.memory.Describe(digest, d.Host, d.Bytes)
	return nil
}

// recall fills in what the memory has of a candidate whose file did not change, and reports
// whether it had everything. That is enough to decide whether it is wanted, and not
// to run it. Where signatures are asked for, they are checked instead.
func (r *Roster) recall(p *plugin) bool {
	if r.config.Memory == nil || r.config.Want == nil {
		return false
	}
	digest, ok := r.config.Memory.Digest(p.path, p.seen)
	if !ok {
		return false
	}
	d := r.remembered(digest)
	keys, err := r.keys()
	if d == nil || err != nil {
		return false
	}
	p.digest = digest
	if !keys.Empty() && !r.shipped(p) {
		p.digest = ""
		return false
	}
	p.desc, p.recalled = d, true
	p.signing = signing{state: signingState(keys, p.path)}
	return true
}

// due returns the places of those found that were recalled and have to be looked at: who is
// to run, and who has the name of one that is.
func (r *Roster) due(found []*plugin) []int {
	names := make(map[string]bool)
	for _, p := range found {
		if r.mayRun(p) {
			names[p.name()] = true
		}
	}
	var out []int
	for i, p := range found {
		if p.recalled && names[p.name()] {
			out = append(out, i)
		}
	}
	return out
}
