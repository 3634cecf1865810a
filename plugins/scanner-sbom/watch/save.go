package watch

import (
	"context"
	"errors"
	"time"
)

// save writes down what was told, once the host has it for good: the files of the targets
// of which more was said, as many as the rate allows.
func (w *Watch) save(ctx context.Context) error {
	if time.Now().Before(w.saveAfter) {
		return nil
	}
	changed, gone := w.told.unsaved()
	if len(changed) == 0 && len(gone) == 0 {
		return nil
	}
	const most = saveRate * int(saveEvery/time.Second)
	var errs []error
	size, content := 0, map[string][]byte{}
	for _, id := range changed {
		if size >= most {
			break // the others come with the next
		}
		refs, memory := w.named(id)
		data, err := w.told.encode(id, refs, memory)
		errs = append(errs, err)
		if data != nil {
			content[id] = data
			size += len(data)
		}
	}
	w.saveAfter = time.Now().Add(time.Duration(size) * (time.Second / saveRate))
	if err := w.Out.Sync(ctx); err != nil {
		return err
	}
	for _, id := range sortedKeys(content) {
		errs = append(errs, w.told.write(id, content[id]))
	}
	for _, id := range gone {
		errs = append(errs, w.told.unlink(id))
	}
	if err := errors.Join(errs...); err != nil {
		w.Log.Warn("a restart tells again what was told; make sbom.database_dir writable", "error", err)
	}
	return nil
}

// named is what the file of a target has beside what was told: what its packages are called, and
// the memory of its last look. Both are nil when it was not looked at yet.
func (w *Watch) named(id string) (refs map[key]string, memory []byte) {
	g := w.known(id)
	if g == nil {
		return nil, nil
	}
	g.Lock()
	defer g.Unlock()
	if g.holding == nil {
		return nil, nil
	}
	refs = make(map[key]string, len(g.holding.Packages))
	for _, p := range g.holding.Packages {
		ref := p.Ref()
		refs[packageKey(id, ref)] = ref
	}
	return refs, g.memory
}
