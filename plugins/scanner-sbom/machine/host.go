package machine

import (
	"cmp"
	"context"
	"fmt"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/watch"
)

// lookAtHost scans the machine's own folders.
func (m *Machine) lookAtHost(ctx context.Context, memory []byte) (*watch.Holding, error) {
	if len(m.Host) == 0 {
		return nil, fmt.Errorf("%w: the host is not watched", watch.ErrGone)
	}
	root, err := m.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // it was read only
	v, _, err := m.Folder(ctx, root, m.Scan)
	if err != nil {
		return nil, err
	}
	h := &watch.Holding{Packages: v.Packages(), Problems: v.Problems()}
	m.mu.Lock()
	before := m.seen[watch.Host]
	m.mu.Unlock()
	var former *owner.Look
	if before != nil {
		former = before.index.Look()
	} else {
		former = m.recall(watch.Host, memory)
	}
	x, problems := owner.Read(ctx, tree.NewView(root), h.Packages, owner.Options{Before: former})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	h.Problems = append(h.Problems, problems...)
	h.Changes = tampered(former, x.Look())
	h.Memory = m.keep(watch.Host, x.Look())
	s := &sighted{index: x, problems: problems}
	s.follows(before, nil)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[watch.Host] = s
	return h, nil
}

// open opens the machine's own folders.
func (m *Machine) open() (*tree.Parts, error) { return tree.OpenParts(cmp.Or(m.Root, "/"), m.Host) }
