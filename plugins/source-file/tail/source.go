package tail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/sdk"
)

// maxRetired bounds the memory of files that were read and let go of.
const maxRetired = 1024

// Source follows the configured files. It implements sdk.LogSource.
type Source struct {
	config  *Config
	log     hclog.Logger
	counter func(string, uint64)
	buffers sync.Pool

	mu sync.Mutex
	// owners says which follower reads a file now.
	owners map[identity]*follower
	// past remembers where reading ended in files that were let go of, in case
	// they come back under another name; pastOrder is the order of arrival.
	past      map[identity]mark
	pastOrder []identity
	problems  map[string]string
	// refused names paths beyond max_files; unmatched says that no path exists.
	refused   map[string]struct{}
	unmatched bool
}

// New returns a Source with the configuration that config holds when Setup is
// called; config must not change afterwards.
func New(config *Config) *Source {
	return &Source{
		config:   config,
		log:      hclog.NewNullLogger(),
		counter:  func(string, uint64) {},
		buffers:  sync.Pool{New: func() any { return new([chunk]byte) }},
		owners:   make(map[identity]*follower),
		past:     make(map[identity]mark),
		problems: make(map[string]string),
		refused:  make(map[string]struct{}),
	}
}

// Setup checks the configuration and takes over logger and counters.
func (s *Source) Setup(_ context.Context, env sdk.Env) error {
	if env.Logger != nil {
		s.log = env.Logger
	}
	if env.Counter != nil {
		s.counter = env.Counter
	}
	return s.config.Validate()
}

// Run follows the files until ctx is done.
func (s *Source) Run(ctx context.Context, out sdk.Emitter) error {
	if err := s.config.Validate(); err != nil {
		return err
	}
	w := newWatcher(s, out)
	defer w.close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.run(ctx, group) })
	return group.Wait()
}

// Health says which files cannot be followed, why, and what mends it.
func (s *Source) Health(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []string
	for _, path := range slices.Sorted(maps.Keys(s.problems)) {
		parts = append(parts, s.problems[path])
		if len(parts) == 8 {
			parts = append(parts, fmt.Sprintf("and %d more", len(s.problems)-8))
			break
		}
	}
	if n := len(s.refused); n > 0 {
		parts = append(parts, fmt.Sprintf("%d files beyond max_files are not followed; raise max_files in [source_file]", n))
	}
	if s.unmatched {
		parts = append(parts, fmt.Sprintf(
			"no file matches paths (%s); a host that logs to the journal alone is watched by source-journald",
			strings.Join(s.config.Paths, ", ")))
	}
	if len(parts) == 0 {
		return nil
	}
	return errors.New(strings.Join(parts, "; "))
}

// report notes what keeps a path from being followed; nil clears it.
func (s *Source) report(path string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, had := s.problems[path]
	if err == nil {
		if had {
			delete(s.problems, path)
			s.log.Info("the file is followed again", "path", path)
		}
		return
	}
	text := fmt.Sprintf("%s: %v", path, err)
	if errors.Is(err, fs.ErrPermission) {
		text = fmt.Sprintf("%s: permission denied; let source-file read it (`ironpost plugin enable source-file` grants the configured paths) and run the host as a user who may", path)
	}
	if text != old {
		s.problems[path] = text
		s.log.Warn("the file cannot be followed; it is tried again", "path", path, "error", err)
	}
}

func (s *Source) count(name string, n uint64) { s.counter(name, n) }

// claim makes f the one that reads the file id. It reports false when another
// path leads to the same file and is followed already.
func (s *Source) claim(id identity, f *follower) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if owner, ok := s.owners[id]; ok && owner != f {
		return false
	}
	s.owners[id] = f
	return true
}

// retire ends the claim on a file and remembers where reading ended.
func (s *Source) retire(g *segment, f *follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := g.id()
	if s.owners[id] != f {
		return
	}
	delete(s.owners, id)
	if _, ok := s.past[id]; !ok {
		if len(s.pastOrder) == maxRetired {
			delete(s.past, s.pastOrder[0])
			s.pastOrder = slices.Delete(s.pastOrder, 0, 1)
		}
		s.pastOrder = append(s.pastOrder, id)
	}
	s.past[id] = g.mark
}

// retired returns where reading ended in a file.
func (s *Source) retired(id identity) (mark, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.past[id]
	return m, ok
}

// guess returns the format in which the stream of path is opened before the
// file is known whose position is stored.
func (s *Source) guess(path string) string {
	if s.config.Format != "" {
		return s.config.Format
	}
	g, _, err := openSegment(path)
	if err != nil {
		return "syslog"
	}
	defer g.close()
	if format := g.sniff(); format != "" {
		return format
	}
	return "syslog"
}

// match returns the paths that the configuration names and that exist or are
// known, without rotated files, which belong to the stream of the path that they
// once had, and without compressed ones, unless a pattern ends with .gz or .zst.
// known are the paths that are followed or have a stored position; one of them may be
// missing while it is being rotated.
func (s *Source) match(known []string) []string {
	// The value says that the path may be that of a compressed file.
	found := make(map[string]bool)
	for _, pattern := range s.config.Paths {
		pattern = filepath.Clean(pattern)
		matches, _ := filepath.Glob(pattern)
		if len(matches) == 0 {
			// Glob is silent about what it may not see.
			if _, err := os.Stat(pattern); err == nil || errors.Is(err, fs.ErrPermission) {
				matches = []string{pattern}
			}
		}
		for _, m := range matches {
			found[m] = found[m] || isPacked(pattern)
		}
		for _, name := range known {
			if ok, _ := filepath.Match(pattern, name); ok {
				found[name] = found[name] || isPacked(pattern)
			}
		}
	}
	paths := make([]string, 0, len(found))
	for path, packed := range found {
		dir, name := filepath.Split(path)
		if base, _, ok := parseRotated(name); ok {
			if _, ok := found[dir+base]; ok {
				continue
			}
		}
		if compressed(name) && !(packed && isPacked(name)) {
			continue
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// wants reports whether the configuration names path, or a directory on the way
// to what it names.
func (s *Source) wants(path string) bool {
	for _, pattern := range s.config.Paths {
		for pattern = filepath.Clean(pattern); ; pattern = filepath.Dir(pattern) {
			if ok, _ := filepath.Match(pattern, path); ok {
				return true
			}
			if len(pattern) <= 1 || filepath.Dir(pattern) == pattern {
				break
			}
		}
	}
	return false
}

func compressed(name string) bool {
	switch filepath.Ext(name) {
	case ".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip":
		return true
	}
	return false
}
