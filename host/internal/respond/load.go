package respond

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/ironpost/ironpost/host/internal/expiry"
	"github.com/ironpost/ironpost/host/internal/state"
)

// open opens the tables and reads the lists.
func (r *Responder) open(s *state.Store) (err error) {
	if r.blockTable, err = state.NewTable[entry](s, "blocks"); err != nil {
		return err
	}
	if r.allowTable, err = state.NewTable[entry](s, "allows"); err != nil {
		return err
	}
	if r.listTable, err = state.NewTable[listDoc](s, "block_lists"); err != nil {
		return err
	}
	if r.ruleTable, err = state.NewTable[packetRule](s, "block_rules"); err != nil {
		return err
	}
	if r.blobs, err = state.NewBlobs(s, "lists"); err != nil {
		return err
	}
	if r.modeTable, err = state.NewTable[modeDoc](s, "mode"); err != nil {
		return err
	}
	if r.takenTable, err = state.NewTable[taken](s, "fleet_taken"); err != nil {
		return err
	}
	if r.tombTable, err = state.NewTable[expiry.Stamp](s, "fleet_taken_back"); err != nil {
		return err
	}
	ticks, err := state.NewTable[expiry.Tick](s, "clock")
	if err != nil {
		return err
	}
	r.notes = expiry.NewNotes(r.clock, func(t expiry.Tick) error { return ticks.Put(tickKey, t) })
	last, _, err := ticks.Get(tickKey)
	if err != nil {
		r.problem("the last reading of the clocks is lost", err)
	}
	if err := r.load(r.blockTable, r.blocks, last); err != nil {
		return err
	}
	if err := r.load(r.allowTable, r.allows, last); err != nil {
		return err
	}
	if err := r.loadLists(last); err != nil {
		return err
	}
	if err := r.loadRules(last); err != nil {
		return err
	}
	if err := r.loadTaken(last); err != nil {
		return err
	}
	return r.notes.Note(false)
}

// load reads one list and carries it into this boot. A document that cannot be
// read is left out, and said.
func (r *Responder) load(t *state.Table[entry], list map[netip.Prefix]*entry, last expiry.Tick) error {
	docs, err := t.All()
	if err != nil {
		if docs == nil {
			return err
		}
		r.problem("an entry cannot be read and is left out", err)
	}
	moved := make(map[string]entry)
	for name, e := range docs {
		p, err := netip.ParsePrefix(name)
		if err == nil {
			var ok bool
			if p, ok = canonical(p); !ok {
				err = errors.New("it is no network")
			}
		}
		if err == nil {
			err = e.check() // a filter would refuse the whole list for it
		}
		if err != nil {
			r.problem("an entry cannot be read and is left out", fmt.Errorf("%q: %w", name, err))
			continue
		}
		if s := r.clock.Rebase(e.Stamp, last); s != e.Stamp {
			e.Stamp = s
			moved[name] = e
		}
		if u := e.Under; u != nil {
			if s := r.clock.Rebase(u.Stamp, last); s != u.Stamp {
				u.Stamp = s
				moved[name] = e
			}
		}
		list[p] = &e
	}
	if len(moved) == 0 {
		return nil
	}
	return t.PutAll(moved)
}

// loadLists reads what was imported, as load does, and removes networks that no
// list has.
func (r *Responder) loadLists(last expiry.Tick) error {
	docs, err := r.listTable.All()
	if err != nil && docs == nil {
		return err
	}
	whole := err == nil
	if !whole {
		r.problem("a list cannot be read and is left out", err)
	}
	wanted := make(map[uint64]bool, len(docs))
	moved := make(map[string]listDoc)
	for name, doc := range docs {
		wanted[doc.Blob] = true
		l := &blockList{name: name, blob: doc.Blob}
		changed := false
		for i := range doc.Origins {
			e := &doc.Origins[i]
			if s := r.clock.Rebase(e.Stamp, last); s != e.Stamp {
				e.Stamp, changed = s, true
			}
			l.origins = append(l.origins, e)
		}
		raw, err := r.blobs.Get(doc.Blob)
		if err == nil {
			err = doc.check()
		}
		if err == nil {
			l.nets, err = readNets(raw, len(l.origins))
		}
		if err != nil {
			r.problem("the list "+name+" cannot be read and is left out; import it anew", err)
			continue
		}
		if r.lists[name] = l; changed {
			moved[name] = doc
		}
	}
	if whole {
		if err := r.blobs.Keep(func(n uint64) bool { return wanted[n] }); err != nil {
			r.log.Warn("networks of lists that ended are left on the disk", "error", err)
		}
	}
	if len(moved) == 0 {
		return nil
	}
	return r.listTable.PutAll(moved)
}

func (r *Responder) problem(what string, err error) {
	r.problems = append(r.problems, fmt.Sprintf("%s: %v", what, err))
	r.log.Error(what, "error", err)
}
