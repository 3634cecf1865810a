package machine

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/watch"
)

// own finds out who owns the files of a container, and what became of its databases of
// packages since its image; since the look before when that is gone.
func (m *Machine) own(ctx context.Context, id string, r *engine.Result, h *watch.Holding, memory []byte) error {
	m.mu.Lock()
	before := m.seen[id]
	m.mu.Unlock()
	s := &sighted{own: r.Own, image: r.Image.ID, view: r.View}
	for _, mount := range r.Container.Mounts {
		if mount.Type == "tmpfs" {
			s.memory = append(s.memory, mount.Path)
		}
	}
	base, err := m.base(ctx, r)
	if err != nil {
		return err
	}
	var former *owner.Look
	switch {
	case base != nil:
		former = base.Look()
	case before != nil:
		former = before.index.Look()
	default:
		former = m.recall(id, memory)
	}
	if r.Unchanged && before != nil {
		s.index, s.problems = before.index, before.problems
	} else if s.index, s.problems, err = m.index(ctx, r, former); err != nil {
		return err
	}
	h.Problems = append(slices.Clip(h.Problems), s.problems...)
	h.Changes = tampered(former, s.index.Look())
	if base == nil {
		h.Memory = m.keep(id, s.index.Look())
	} else if len(h.Changes) == 0 && sameRefs(r) {
		s.index = base // the containers of an image share it
	}
	s.follows(before, base)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[id] = s
	return nil
}

// follows takes over what there was before: who owned the files when there were other packages,
// at the look before, or in the image.
func (s *sighted) follows(before *sighted, image *owner.Index) {
	switch {
	case before == nil && !s.index.Same(image):
		s.former = image
	case before == nil:
	case s.index.Same(before.index):
		s.former = before.former
	default:
		s.former = before.index
	}
}

// sameRefs says whether a container has the packages of its image, and no others.
func sameRefs(r *engine.Result) bool {
	return len(r.Packages) == len(r.FromImage) &&
		!slices.ContainsFunc(r.Packages, func(p *inventory.Package) bool { return !r.InImage(p.Ref()) })
}

// index reads who owns the files of what was scanned.
func (m *Machine) index(ctx context.Context, r *engine.Result, before *owner.Look) (*owner.Index, []inventory.Problem, error) {
	var written func(file string) bool
	if r.Container != nil && r.FromImage != nil { // else nothing is known to be the container's own
		written = r.Own
	}
	view, done, err := r.View(ctx)
	if err != nil {
		return nil, nil, err
	}
	x, problems := owner.Read(ctx, view, r.Packages, owner.Options{Before: before, Written: written})
	return x, problems, errors.Join(ctx.Err(), done())
}

// base returns who owns the files of a container's image, nil when it is gone.
func (m *Machine) base(ctx context.Context, r *engine.Result) (*owner.Index, error) {
	if r.FromImage == nil || r.Image.ID == "" {
		return nil, nil
	}
	m.mu.Lock()
	x := m.bases[r.Image.ID]
	m.mu.Unlock()
	if x != nil {
		return x, nil
	}
	image, err := m.Engine.Scan(ctx, watch.ImagePrefix+r.Image.ID, engine.Options{Scan: m.Scan})
	if errors.Is(err, engine.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if x, _, err = m.index(ctx, image, nil); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.bases) >= maxBases {
		clear(m.bases)
	}
	m.bases[r.Image.ID] = x
	return x, nil
}

// tampered says which databases of packages no package manager left as they are.
func tampered(before, after *owner.Look) (out []watch.Change) {
	for _, c := range owner.Compare(before, after) {
		if c.Kind == owner.DatabaseEdited || c.Kind == owner.DatabaseRemoved {
			out = append(out, watch.Change{Path: "/" + c.Database, Package: c.Package, Text: sentence(c.Text)})
		}
	}
	return out
}

// sentence makes one of a text that begins small.
func sentence(text string) string {
	if text == "" {
		return text
	}
	if c := text[0]; 'a' <= c && c <= 'z' {
		text = string(c-'a'+'A') + text[1:]
	}
	return text + "."
}

// Bounds of the look at databases of packages that is kept for the next process: as it is kept,
// and as the text that it is.
const (
	maxMemory = 8 << 20
	maxText   = 256 << 20
)

// keep writes a look down. Of one that ended early, or is too large, there is nothing: what is
// done to its databases while nobody looks is not seen, then.
func (m *Machine) keep(id string, l *owner.Look) []byte {
	if l.Incomplete || len(l.Databases) == 0 {
		return nil
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err == nil {
		err = errors.Join(json.NewEncoder(w).Encode(l), w.Close())
	}
	if err != nil || out.Len() > maxMemory {
		m.Log.Warn("what databases of packages say is not remembered over a restart", "target", id, "bytes", out.Len(), "error", err)
		return nil
	}
	return out.Bytes()
}

// recall reads a look that a process before this one kept; nil is that there is none.
func (m *Machine) recall(id string, memory []byte) *owner.Look {
	if len(memory) == 0 {
		return nil
	}
	l := &owner.Look{}
	r := io.LimitReader(flate.NewReader(bytes.NewReader(memory)), maxText)
	if err := json.NewDecoder(r).Decode(l); err != nil {
		m.Log.Warn("what databases of packages said before is not known", "target", id, "error", err)
		return nil
	}
	return l
}
