package recall

import "github.com/ironpost/ironpost/plugins/scanner-sbom/tree"

// known is what is known of one target after a scan. It does not change then.
type known struct {
	folders map[string]*folder
	files   map[string]*file
	// entries and bytes are what it holds, against the bounds.
	entries, bytes int
}

func newKnown() *known { return &known{folders: map[string]*folder{}, files: map[string]*file{}} }

// folder is a folder that was listed.
type folder struct {
	at state
	tree.Listing
}

// file is a file that was read.
type file struct {
	at state
	// digest is that of the content; "" is not known.
	digest string
	looks  []look
	// found is what the readers found, encoded.
	found string
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

func (k *known) addFolder(path string, f *folder) bool {
	size := len(path)
	for _, name := range f.Folders {
		size += len(name)
	}
	for _, name := range f.Files {
		size += len(name)
	}
	if !k.room(1+len(f.Folders)+len(f.Files), size) {
		return false
	}
	k.folders[path] = f
	return true
}

func (k *known) addFile(path string, f *file) bool {
	size := len(path) + len(f.digest) + len(f.found)
	for _, l := range f.looks {
		size += len(l.path)
	}
	if !k.room(1+len(f.looks), size) {
		return false
	}
	k.files[path] = f
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
