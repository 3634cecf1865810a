package image

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// kind is what a node is.
type kind uint8

const (
	gone     kind = iota // only a mark that hides what layers below have
	dirKind              // a folder
	fileKind             // a regular file
	linkKind             // a symbolic link
	hardKind             // a hard link whose file was not seen yet
	other                // devices and the like
	unknown              // a name of a container that is looked at when it is asked for
	kinds
)

// node is a name in the merged tree.
type node struct {
	children map[string]*node
	link     string // what a link leads to
	off      int64  // where the content begins in the layer
	size     int64
	mode     fs.FileMode
	layer    int32 // that it is of: of a folder, the topmost
	// Layers below hide have no part in this name, and layers below seal none in what
	// lies in it.
	hide, seal int32
	kind       kind
	spooled    bool // the content lies in the spool, not in the layer
}

// index is the tree of all layers. They are added from the top down.
type index struct {
	root  node
	layer int32 // that is being added
	left  int   // of the entries that an image may have
	// hidden are files of this layer that one above hides, by path: a hard link that is
	// not hidden may lead to them.
	hidden map[string]node
	hard   []pending
}

// pending is a hard link to a file that its layer does not have before it.
type pending struct {
	name string
	node *node
}

func newIndex(entries int) *index {
	return &index{root: node{kind: dirKind, mode: fs.ModeDir | 0o755}, left: entries}
}

// begin starts a layer, which lies below those before.
func (t *index) begin(layer int32) { t.layer, t.hidden = layer, map[string]node{} }

// spend counts what is held in memory for a name.
func (t *index) spend(name string) error {
	const piece = 256 // long names count as several
	t.left -= 1 + len(name)/piece
	if t.left < 0 {
		return errEntries
	}
	return nil
}

// folder returns the folder of this layer at name, which it makes where there is
// none; nil is one that is hidden.
func (t *index) folder(name string) (*node, error) {
	at := &t.root
	for part := range strings.SplitSeq(name, "/") {
		if part == "" {
			continue
		}
		if at.seal > t.layer {
			return nil, nil
		}
		next := at.children[part]
		switch {
		case next == nil:
			made, err := t.make(at, part)
			if err != nil {
				return nil, err
			}
			next = made
			next.become(node{kind: dirKind, mode: fs.ModeDir | 0o755}, t.layer)
		case next.hide > t.layer:
			return nil, nil
		case next.kind == dirKind:
		case next.kind == gone, next.layer == t.layer:
			next.become(node{kind: dirKind, mode: fs.ModeDir | 0o755}, t.layer)
		default: // a file above
			return nil, nil
		}
		at = next
	}
	if at.seal > t.layer {
		return nil, nil
	}
	return at, nil
}

// make adds a name to a folder.
func (t *index) make(at *node, name string) (*node, error) {
	if err := t.spend(name); err != nil {
		return nil, err
	}
	if at.children == nil {
		at.children = map[string]*node{}
	}
	n := &node{}
	at.children[strings.Clone(name)] = n
	return n, nil
}

// become makes n what is says, but for what it hides.
func (n *node) become(is node, layer int32) {
	is.layer, is.hide, is.seal = layer, n.hide, n.seal
	*n = is
}

// add adds a file or folder of this layer. The later of two with one name counts.
func (t *index) add(name string, is node) error {
	if name == "" {
		return nil // the root, which is there
	}
	if is.kind == hardKind {
		if to, ok := t.target(is.link); ok {
			is = to
		}
	}
	is.link = strings.Clone(is.link)
	dir, base := path.Split(name)
	at, err := t.folder(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return err
	}
	if at == nil {
		return t.conceal(name, is)
	}
	n := at.children[base]
	switch {
	case n == nil:
		if n, err = t.make(at, base); err != nil {
			return err
		}
	case n.hide > t.layer:
		return t.conceal(name, is)
	case n.kind == gone, n.layer == t.layer && (n.kind != dirKind || is.kind != dirKind):
	case n.kind == dirKind && is.kind == dirKind:
		if n.layer == t.layer {
			n.mode = is.mode
		}
		return nil
	case n.kind == dirKind: // one above: what lies below the file is not in it
		n.seal = max(n.seal, t.layer)
		return t.conceal(name, is)
	default:
		return t.conceal(name, is)
	}
	if is.link != "" {
		if err := t.spend(is.link); err != nil {
			return err
		}
	}
	n.become(is, t.layer)
	if is.kind == hardKind {
		t.hard = append(t.hard, pending{strings.Clone(name), n})
	}
	return nil
}

// conceal keeps a file that layers above hide, for the hard links to it.
func (t *index) conceal(name string, is node) error {
	if is.kind == dirKind || is.kind == hardKind {
		return nil
	}
	if err := t.spend(name + is.link); err != nil {
		return err
	}
	t.hidden[strings.Clone(name)] = is
	return nil
}

// target returns the file of this layer that a hard link leads to.
func (t *index) target(name string) (node, bool) {
	if n := t.root.find(name); n != nil && n.layer == t.layer && (n.kind == fileKind || n.kind == linkKind || n.kind == other) {
		return node{kind: n.kind, mode: n.mode, off: n.off, size: n.size, link: n.link}, true
	}
	n, ok := t.hidden[name]
	return n, ok
}

// hide hides a name of a folder in the layers below.
func (t *index) hide(dir, name string) error {
	at, err := t.folder(dir)
	if at == nil || err != nil {
		return err
	}
	n := at.children[name]
	if n == nil {
		if n, err = t.make(at, name); err != nil {
			return err
		}
	}
	n.hide, n.seal = max(n.hide, t.layer), max(n.seal, t.layer)
	return nil
}

// opaque hides all that the layers below have in a folder.
func (t *index) opaque(dir string) error {
	at, err := t.folder(dir)
	if at != nil {
		at.seal = max(at.seal, t.layer)
	}
	return err
}

// settle resolves the hard links that are left, when all layers were added, and
// returns those that lead to no file.
func (t *index) settle() (broken []string) {
	for _, p := range t.hard {
		if p.node.kind != hardKind {
			continue // it was replaced
		}
		to := t.root.find(p.node.link)
		if to == nil || to.kind != fileKind {
			p.node.kind = gone
			broken = append(broken, p.name)
			continue
		}
		p.node.kind, p.node.mode = fileKind, to.mode
		p.node.layer, p.node.off, p.node.size = to.layer, to.off, to.size
	}
	t.hard, t.hidden = nil, nil
	return broken
}

// find returns what lies at name, with no link followed; nil is nothing.
func (n *node) find(name string) *node {
	if name == "" || name == "." {
		return n
	}
	for part := range strings.SplitSeq(name, "/") {
		n = n.children[part]
		if n == nil {
			return nil
		}
	}
	return n
}

// names are those that are there, sorted.
func (n *node) names() []string {
	out := make([]string, 0, len(n.children))
	for name, child := range n.children {
		if child.kind != gone {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
