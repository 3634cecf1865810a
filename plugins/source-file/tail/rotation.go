package tail

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// identity names a file while it exists.
type identity struct{ device, inode uint64 }

// maxEntries bounds how many files of a directory are looked at for one path.
const maxEntries = 16384

// order is the place that a rotated file's name gives it among its siblings.
type order struct {
	// number is N of "path.N", where 1 is the newest; 0 when date is set.
	number int
	// date is the digits of a date, which sort as text.
	date string
}

// newer compares by name: positive when o is newer than p, negative when it is
// older, 0 when the names do not tell.
func (o order) newer(p order) int {
	switch {
	case o.date == "" && p.date == "":
		return cmp.Compare(p.number, o.number)
	case len(o.date) == len(p.date):
		return cmp.Compare(o.date, p.date)
	}
	return 0
}

// parseRotated splits the name that a rotator gave to a file: "auth.log.1",
// "auth.log-20260131", "auth.log.2026-01-31", "auth-20260131.log" all belong to
// "auth.log". So do "auth.log.2.gz" and "auth.log.2.zst"; files that were compressed in
// another way belong to none.
func parseRotated(name string) (base string, o order, ok bool) {
	name = unpacked(name)
	if base, o, ok = cutStamp(name); ok {
		return base, o, true
	}
	ext := filepath.Ext(name)
	stem, o, ok := cutStamp(strings.TrimSuffix(name, ext))
	if !ok || ext == "" || o.date == "" {
		return "", order{}, false
	}
	return stem + ext, o, true
}

// cutStamp takes a number or a date off the end of name.
func cutStamp(name string) (base string, o order, ok bool) {
	i := len(name)
	for i > 0 && strings.IndexByte("0123456789-_.:TZ", name[i-1]) >= 0 {
		i--
	}
	for i < len(name) && (strings.IndexByte(".-_", name[i]) < 0 || i+1 == len(name) || !isDigit(name[i+1])) {
		i++
	}
	if i == 0 || i == len(name) {
		return "", order{}, false
	}
	base, stamp := name[:i], name[i+1:]
	digits := make([]byte, 0, len(stamp))
	for j := range len(stamp) {
		if isDigit(stamp[j]) {
			digits = append(digits, stamp[j])
		}
	}
	if len(digits) >= 8 {
		return base, order{date: string(digits)}, true
	}
	if name[i] != '.' || len(digits) != len(stamp) {
		return "", order{}, false
	}
	for _, d := range digits {
		o.number = o.number*10 + int(d-'0')
	}
	return base, o, true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// sibling is a rotated file beside the path that it once had.
type sibling struct {
	path  string
	order order
	id    identity
	size  int64
	mtime time.Time
	// compressed says that size is not that of the content.
	compressed bool
}

// snapshot is what a directory holds for one path at one moment.
type snapshot struct {
	// siblings are the rotated files, without the one that path names.
	siblings []sibling
	// current is the file that path names; nil when there is none.
	current os.FileInfo
}

// errMoving says that the files beside a path are being renamed right now, so
// that looking at them tells nothing; it is worth trying again soon.
var errMoving = errors.New("the files are being rotated")

// survey takes a snapshot for path. Rotators rename several files in a row, so
// it looks until two looks agree. It returns errMoving when they never do.
func survey(path string) (snapshot, error) {
	last, err := look(path)
	for range 5 {
		if err != nil {
			return snapshot{}, err
		}
		var next snapshot
		next, err = look(path)
		if err == nil && sameFiles(last, next) {
			return next, nil
		}
		last = next
	}
	if err == nil {
		err = errMoving
	}
	return snapshot{}, err
}

// sameFiles reports whether no file came, went, was renamed, or got its first
// byte: an empty file may be a copy that is about to be made.
func sameFiles(a, b snapshot) bool {
	if (a.current == nil) != (b.current == nil) ||
		(a.current != nil && identify(a.current) != identify(b.current)) {
		return false
	}
	return slices.EqualFunc(a.siblings, b.siblings, func(x, y sibling) bool {
		return x.path == y.path && x.id == y.id && (x.size == 0) == (y.size == 0)
	})
}

func look(path string) (snapshot, error) {
	var s snapshot
	info, err := os.Stat(path)
	switch {
	case err == nil:
		s.current = info
	case !errors.Is(err, fs.ErrNotExist):
		return s, err
	}
	for _, p := range places(path) {
		base := filepath.Base(p)
		// A link may lead to a dated file, and from one to the next: the files of
		// earlier dates are what it led to before.
		var newest *order
		if target, o, ok := parseRotated(base); ok && p != path {
			base, newest = target, &o
		}
		err := eachFile(filepath.Dir(p), func(name string) {
			rotated, o, ok := parseRotated(name)
			if !ok || rotated != base || newest != nil && o.newer(*newest) >= 0 {
				return
			}
			file := filepath.Join(filepath.Dir(p), name)
			info, err := os.Lstat(file)
			if err != nil || !info.Mode().IsRegular() {
				return
			}
			id := identify(info)
			if s.current != nil && id == identify(s.current) {
				return
			}
			s.siblings = append(s.siblings, sibling{file, o, id, info.Size(), info.ModTime(), isPacked(name)})
		})
		// Without leave to list the directory the path alone is followed.
		if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	slices.SortFunc(s.siblings, func(a, b sibling) int { return cmp.Compare(a.path, b.path) })
	// Beside a file that is being compressed its copy is of no use.
	plain := make(map[string]bool, len(s.siblings))
	for _, b := range s.siblings {
		plain[b.path] = true
	}
	s.siblings = slices.DeleteFunc(s.siblings, func(b sibling) bool {
		return b.compressed && plain[unpacked(b.path)]
	})
	return s, nil
}

// places returns path and, where it is a symbolic link, what it leads to.
func places(path string) []string {
	if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
		return []string{path, target}
	}
	return []string{path}
}

// eachFile calls visit with the names in dir, maxEntries at most.
func eachFile(dir string, visit func(name string)) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("look for rotated files: %w", err)
	}
	defer d.Close()
	for seen := 0; seen < maxEntries; {
		entries, err := d.ReadDir(256)
		for _, e := range entries {
			visit(e.Name())
		}
		seen += len(entries)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for rotated files: %w", err)
		}
	}
	return nil
}

// after returns the siblings that were rotated after the file id, the oldest
// first. When the file is among them its name decides, else the time until when
// it was written or read.
func (s *snapshot) after(id identity, until time.Time) []sibling {
	self := slices.IndexFunc(s.siblings, func(b sibling) bool { return b.id == id })
	var out []sibling
	for i, b := range s.siblings {
		newer := b.mtime.Compare(until)
		if self >= 0 {
			if i == self {
				continue
			}
			if n := b.order.newer(s.siblings[self].order); n != 0 {
				newer = n
				// A name may lie (some rotators count upwards); late writers
				// make the times of change cross by so much at most.
				if n > 0 && b.mtime.Before(until.Add(-lateWindow)) {
					newer = -1
				}
			}
		}
		if newer > 0 {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b sibling) int {
		if n := a.order.newer(b.order); n != 0 {
			return n
		}
		return a.mtime.Compare(b.mtime)
	})
	return out
}

// openFile opens a regular file for reading. The error names the path.
func openFile(path string) (*os.File, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %w", path, errNotRegular)
	}
	f, err := os.OpenFile(path, openFlags, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, errNotRegular)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

var errNotRegular = errors.New("not a regular file")

// findSame looks in the directories of path for the file that m describes,
// under whatever name it has now; nil when it is not there. It returns errMoving
// when a rotation under way may have hidden it.
func findSame(path string, m *mark, buf []byte) (*segment, error) {
	for _, p := range places(path) {
		if g := openSame(p, m, buf); g != nil {
			return g, nil
		}
		dir := filepath.Dir(p)
		before := inodes(dir)
		for name, inode := range before {
			if inode != m.inode {
				continue
			}
			if g := openSame(filepath.Join(dir, name), m, buf); g != nil {
				return g, nil
			}
		}
		if !maps.Equal(before, inodes(dir)) {
			return nil, errMoving
		}
	}
	return nil, nil
}

// inodes returns the regular files in dir, without order.
func inodes(dir string) map[string]uint64 {
	files := make(map[string]uint64)
	_ = eachFile(dir, func(name string) {
		if info, err := os.Lstat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			files[name] = identify(info).inode
		}
	})
	return files
}

// openSame opens path when it is the file that m describes.
func openSame(path string, m *mark, buf []byte) *segment {
	g, _, err := openSegment(path)
	if err != nil {
		return nil
	}
	id := g.id()
	if id.inode != m.inode || (m.headLen == 0 && id.device != m.device) || g.adopt(m, buf) != nil {
		g.close()
		return nil
	}
	return g
}

// findCopy looks among the rotated files of path for a copy of the file that m
// describes, as copytruncate leaves one, other than the file not; nil when there
// is none. It returns errMoving when a rotation under way may have hidden it.
func findCopy(path string, m *mark, not identity, buf []byte) (*segment, error) {
	if m.headLen == 0 {
		return nil, nil
	}
	s, err := survey(path)
	if err != nil {
		return nil, err
	}
	// The newest copy is the most likely one.
	slices.SortFunc(s.siblings, func(a, b sibling) int {
		if n := b.order.newer(a.order); n != 0 {
			return n
		}
		return b.mtime.Compare(a.mtime)
	})
	for _, b := range s.siblings {
		if b.id == not || (b.size < m.offset && !b.compressed) {
			continue
		}
		g, _, err := openSegment(b.path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errMoving
		}
		if err != nil {
			continue
		}
		if g.id() != b.id {
			g.close()
			return nil, errMoving
		}
		if b.compressed {
			same, err := g.continues(m, buf)
			if same {
				return g, nil
			}
			g.close()
			if err != nil {
				return nil, err
			}
			continue
		}
		if g.adopt(m, buf) == nil {
			return g, nil
		}
		g.close()
	}
	return nil, nil
}

// original returns the file that path still names, at its beginning, when b is
// a copy of it: copytruncate has copied, or is copying, and had not truncated
// when this looked. What b holds is then read from the file itself; when it is
// truncated after all, its fingerprint, which is that of b, shows it. A copy is
// never older than the last line in the file, a file that was renamed away
// always is. It returns nil when b is no such copy.
func original(s *snapshot, b sibling, path string, buf []byte) *segment {
	if s.current == nil || s.current.Size() < b.size || b.mtime.Before(s.current.ModTime()) {
		return nil
	}
	file, info, err := openFile(b.path)
	if err != nil {
		return nil
	}
	c := newSegment(file, identify(info))
	defer c.close()
	if c.id() != b.id || c.check(buf) != nil || c.place(info.Size()) != nil {
		return nil
	}
	file, info, err = openFile(path)
	if err != nil {
		return nil
	}
	g := newSegment(file, identify(info))
	if g.adopt(&c.mark, buf) != nil {
		g.close()
		return nil
	}
	g.mark.offset, g.mark.leadLen, g.mark.lead = 0, 0, 0
	return g
}
