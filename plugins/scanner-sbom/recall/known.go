package recall

import (
	"slices"
	"sync/atomic"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// known is what is known of one target after a scan. But for what files keep decoded it does not
// change then: the next one shares what is as it was.
type known struct {
	folders part[folder]
	files   part[file]
	// entries and bytes are what it holds, against the bounds.
	entries, bytes int
}

func newKnown() *known {
	return &known{folders: newPart[folder](0), files: newPart[file](0)}
}

// part is what is known by path.
type part[T any] struct {
	// at is where a path's is in list. Parts with the same paths share it.
	at   map[string]int
	list []*T
}

func newPart[T any](room int) part[T] {
	return part[T]{at: make(map[string]int, room), list: make([]*T, 0, room)}
}

// get returns what is known at a path, and where that is in the list.
func (p *part[T]) get(path string) (one *T, at int) {
	at, ok := p.at[path]
	if !ok {
		return nil, -1
	}
	return p.list[at], at
}

func (p *part[T]) put(path string, one *T) {
	if at, ok := p.at[path]; ok {
		p.list[at] = one
		return
	}
	p.at[path] = len(p.list)
	p.list = append(p.list, one)
}

// folder is a folder that was listed.
type folder struct {
	path string
	at   state
	tree.Listing
}

// file is a file that was read.
type file struct {
	path string
	at   state
	// digest is that of the content; "" is not known.
	digest string
	looks  []look
	// found is what the readers found, encoded; decoded is the same, nil when there was no room.
	found   string
	decoded atomic.Pointer[[]scan.Found]
}

// look is a name that a reader looked up.
type look struct {
	path string
	kind lookKind
	// at is that of an exact one.
	at state
}

type lookKind byte

const (
	absent   lookKind = iota // there was nothing
	isFolder                 // a folder on the way, whose own content does not matter
	exact                    // a file, a link, or a folder that was listed
	lookKinds
)

// Bounds of what is known of one target; what is beyond is read each time.
const (
	maxEntries = 1_000_000
	maxBytes   = 64 << 20
	// entryBytes is what an entry takes in the file, besides names, at most.
	entryBytes = 64
)

func (f *folder) size() (entries, bytes int) {
	bytes = len(f.path)
	for _, names := range [...][]string{f.Folders, f.Files} {
		for _, name := range names {
			bytes += len(name)
		}
	}
	return 1 + len(f.Folders) + len(f.Files), bytes
}

func (f *file) size() (entries, bytes int) {
	bytes = len(f.path) + len(f.digest) + len(f.found)
	for _, l := range f.looks {
		bytes += len(l.path)
	}
	return 1 + len(f.looks), bytes
}

func (k *known) addFolder(f *folder) bool {
	if !k.room(f.size()) {
		return false
	}
	k.folders.put(f.path, f)
	return true
}

func (k *known) addFile(f *file) bool {
	if !k.room(f.size()) {
		return false
	}
	k.files.put(f.path, f)
	return true
}

// room takes room, if there is enough.
func (k *known) room(entries, bytes int) bool {
	if k.entries+entries > maxEntries || k.bytes+bytes > maxBytes {
		return false
	}
	k.entries += entries
	k.bytes += bytes
	return true
}

// kept says, by place in the list, what of it a scan found as it was.
type kept struct{ folders, files []atomic.Bool }

// next is what is known when some is as it was, and some is new; nil is that nothing differs.
func (k *known) next(same *kept, folders map[string]*folder, files map[string]*file) *known {
	lost := count(same.folders) < len(k.folders.list) || count(same.files) < len(k.files.list)
	if len(folders) == 0 && len(files) == 0 && !lost {
		return nil
	}
	out := k.replaced(same, folders, files)
	if out != nil {
		return out
	}
	out = &known{
		folders: newPart[folder](len(k.folders.list) + len(folders)),
		files:   newPart[file](len(k.files.list) + len(files)),
	}
	for i, f := range k.folders.list {
		if folders[f.path] == nil && same.folders[i].Load() {
			out.addFolder(f)
		}
	}
	for _, f := range folders {
		out.addFolder(f)
	}
	for i, f := range k.files.list {
		if files[f.path] == nil && same.files[i].Load() {
			out.addFile(f)
		}
	}
	for _, f := range files {
		out.addFile(f)
	}
	return out
}

// replaced is next when it has the same paths; nil is that it has others, or more than there is
// room for.
func (k *known) replaced(same *kept, folders map[string]*folder, files map[string]*file) *known {
	out := &known{entries: k.entries, bytes: k.bytes}
	var ok bool
	if out.folders, ok = replaced(out, &k.folders, same.folders, folders); !ok {
		return nil
	}
	if out.files, ok = replaced(out, &k.files, same.files, files); !ok || !out.room(0, 0) {
		return nil
	}
	return out
}

func replaced[T any, P interface {
	*T
	size() (entries, bytes int)
}](of *known, old *part[T], same []atomic.Bool, anew map[string]*T,
) (part[T], bool) {
	out := part[T]{at: old.at, list: slices.Clone(old.list)}
	for path, one := range anew {
		was, at := old.get(path)
		if was == nil {
			return out, false
		}
		same[at].Store(true)
		out.list[at] = one
		entries, bytes := P(one).size()
		before, bytesBefore := P(was).size()
		of.entries += entries - before
		of.bytes += bytes - bytesBefore
	}
	return out, count(same) == len(old.list)
}

func count(list []atomic.Bool) (n int) {
	for i := range list {
		if list[i].Load() {
			n++
		}
	}
	return n
}
