package machine

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/running"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/watch"
	"github.com/ironpost/ironpost/sdk"
)

// maxAsked is how many processes may be asked about at once.
const maxAsked = 256

// Observe implements [watch.Looker].
func (m *Machine) Observe(ctx context.Context, targets []string) (map[string]watch.Observed, error) {
	if m.Processes == nil {
		return nil, nil
	}
	seen := map[string]*sighted{}
	m.mu.Lock()
	for _, id := range targets {
		if s := m.seen[id]; s != nil {
			seen[id] = s
		}
	}
	m.mu.Unlock()
	if len(seen) == 0 {
		return nil, nil
	}
	list, err := m.mapped(ctx, seen)
	if err != nil {
		return nil, err
	}
	out := make(map[string]watch.Observed, len(seen))
	for id, s := range seen {
		container := watch.Target{ID: id}.Container()
		t := running.Target{Owners: s.index, Former: s.former}
		if container == "" {
			t.Exists = m.exists
		}
		r := running.Observe(running.Of(list, container), t)
		o := watch.Observed{Uses: make(map[string]watch.Use, len(r.Used)+len(r.Replaced)), Former: make(map[string]watch.Use, len(r.Former))}
		for ref, u := range r.Replaced {
			// Where another file has the name, what is loaded is of a version before, and
			// says nothing of the one that is installed.
			if u.First.State != running.Replaced {
				o.Uses[ref] = uses(u)
			}
		}
		for ref, u := range r.Used {
			o.Uses[ref] = uses(u)
		}
		for ref, u := range r.Former {
			o.Former[ref] = uses(u)
		}
		for i := range r.Unowned {
			if u := &r.Unowned[i]; s.stray(u) {
				o.Unowned = append(o.Unowned, use(u))
			}
		}
		out[id] = o
	}
	return out, nil
}

// exists says whether this machine has something at a path.
func (m *Machine) exists(path string) bool {
	_, err := os.Lstat(filepath.Join(cmp.Or(m.Root, "/"), path))
	return err == nil
}

// mapped asks what the processes of targets have loaded; all of the machine's when it is one
// of them.
func (m *Machine) mapped(ctx context.Context, seen map[string]*sighted) ([]sdk.MappedProcess, error) {
	if seen[watch.Host] != nil {
		return m.Processes.Mapped(ctx)
	}
	all, err := m.Processes.List(ctx)
	if err != nil {
		return nil, err
	}
	var pids []int
	for i := range all {
		if all[i].Container != "" && seen[watch.ContainerPrefix+all[i].Container] != nil {
			pids = append(pids, all[i].PID)
		}
	}
	var out []sdk.MappedProcess
	for some := range slices.Chunk(pids, maxAsked) {
		list, err := m.Processes.Mapped(ctx, some...)
		if err != nil {
			return out, errors.Join(err, ctx.Err())
		}
		out = append(out, list...)
	}
	return out, nil
}

func uses(u *running.Uses) watch.Use {
	out := use(&u.First)
	for _, f := range u.Files {
		out.Users = append(out.Users, watch.User{PID: f.PID, Process: f.Process, Path: f.Path})
	}
	out.More = u.More
	return out
}

func use(u *running.Use) watch.Use {
	return watch.Use{User: watch.User{PID: u.PID, Process: u.Process, Path: u.Path}, Replaced: u.State != running.Present}
}

// stray says whether a file that no package owns is one that nobody brought.
//
// Of a container that is what its image did not have, or is gone while it runs; what the
// image brought outside of packages is its author's, and what lies in a volume is the
// operator's. On the host it is what lies where packages put their files, or where
// everybody may write.
func (s *sighted) stray(u *running.Use) bool {
	if u.State == running.Memory {
		return false // runtimes of containers execute themselves from memory
	}
	path := strings.TrimPrefix(u.Path, "/")
	writable := below(path, "tmp", "var/tmp", "dev/shm")
	if s.own == nil {
		return writable || s.index.Covers() && u.Program && below(path, "usr/bin", "usr/sbin", "bin", "sbin")
	}
	if !s.index.Covers() && !writable {
		return false // it may be of a package whose files are not known
	}
	return u.State != running.Present || s.own(path) || below(path, "dev/shm") || below(path, s.memory...)
}

// below says whether a path lies in one of some folders.
func below(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(path, f+"/") })
}
