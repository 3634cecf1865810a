package tail

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/sdk"
)

const (
	// scanInterval is how often the globs are matched anew; a file created in a
	// watched directory is seen at once.
	scanInterval = 10 * time.Second
	// Files are looked at every pollNotified beside the kernel's notifications,
	// which not every file system sends. Looks at which nothing has changed grow
	// twice as far apart, up to pollQuiet.
	pollNotified = time.Second
	pollQuiet    = scanInterval
	// pollBlind is how often files are looked at without notifications.
	pollBlind = 50 * time.Millisecond
)

// watcher starts a follower for every path and wakes those whose files changed.
type watcher struct {
	source *Source
	out    sdk.Emitter
	// events is nil where the kernel's notifications cannot be had.
	events    *fsnotify.Watcher
	dirs      map[string]bool
	followers map[string]*watched
	ended     chan string
	stored    map[string]struct{}
	// finished are paths whose file was read to its end and is gone.
	finished map[string]struct{}
	first    bool
	// blind says that some directory cannot be watched.
	blind bool
	// quiet is how far apart the looks beside notifications have grown.
	quiet time.Duration
}

// watched is a follower and how its path looked last.
type watched struct {
	*follower
	// places are the path and what it leads to as a symbolic link.
	places []string
	info   os.FileInfo
}

func newWatcher(s *Source, out sdk.Emitter) *watcher {
	w := &watcher{
		source: s, out: out, first: true, quiet: pollNotified,
		dirs:      make(map[string]bool),
		followers: make(map[string]*watched),
		ended:     make(chan string, 64),
		stored:    make(map[string]struct{}),
		finished:  make(map[string]struct{}),
	}
	for _, name := range out.Positions() {
		w.stored[name] = struct{}{}
	}
	events, err := fsnotify.NewWatcher()
	if err != nil {
		w.blind = true
		s.log.Info("no notifications from the kernel; files are polled", "error", err)
		return w
	}
	w.events = events
	return w
}

func (w *watcher) close() {
	if w.events != nil {
		_ = w.events.Close()
	}
}

// run scans, polls and passes notifications on until ctx is done; then it
// returns nil. Followers run in group.
func (w *watcher) run(ctx context.Context, group *errgroup.Group) error {
	var events chan fsnotify.Event
	var failures chan error
	if w.events != nil {
		events, failures = w.events.Events, w.events.Errors
	}
	w.scan(ctx, group)
	scan := time.NewTicker(scanInterval)
	defer scan.Stop()
	poll := time.NewTimer(w.interval())
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-scan.C:
			w.scan(ctx, group)
		case <-poll.C:
			changed := w.poll()
			w.quiet = min(2*w.quiet, pollQuiet)
			if changed {
				w.quiet = pollNotified
			}
			poll.Reset(w.interval())
		case path := <-w.ended:
			// Its file is gone; should it come back, a scan finds it.
			delete(w.followers, path)
			w.stored[path] = struct{}{}
			w.finished[path] = struct{}{}
		case event := <-events:
			if w.pass(event) {
				w.scan(ctx, group)
			}
		case err := <-failures:
			// Events were lost: look at everything.
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				w.source.count("notifications_lost", 1)
			}
			w.wakeAll()
			w.scan(ctx, group)
		}
	}
}

func (w *watcher) interval() time.Duration {
	switch {
	case w.source.config.PollInterval > 0:
		return max(w.source.config.PollInterval, 10*time.Millisecond)
	case w.blind:
		return pollBlind
	}
	return w.quiet
}

// scan starts followers for paths that are new.
func (w *watcher) scan(ctx context.Context, group *errgroup.Group) {
	known := slices.AppendSeq(slices.Collect(maps.Keys(w.stored)), maps.Keys(w.followers))
	paths := w.source.match(known)
	refused := make(map[string]struct{})
	for _, path := range paths {
		if _, ok := w.followers[path]; ok {
			continue
		}
		if _, ok := w.finished[path]; ok {
			if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
				continue
			}
		}
		if len(w.followers) >= w.source.config.MaxFiles {
			refused[path] = struct{}{}
			continue
		}
		w.start(ctx, group, path)
	}
	w.watchGlobs()
	w.watchLinks()
	w.first = false

	s := w.source
	s.mu.Lock()
	defer s.mu.Unlock()
	for path := range refused {
		if _, ok := s.refused[path]; !ok {
			s.counter("files_refused", 1)
		}
	}
	s.refused = refused
	s.unmatched = len(w.followers) == 0
}

func (w *watcher) start(ctx context.Context, group *errgroup.Group, path string) {
	_, stored := w.stored[path]
	_, finished := w.finished[path]
	delete(w.finished, path)
	f := &follower{
		path: path, source: w.source, out: w.out,
		stored: stored, over: finished, wake: make(chan struct{}, 1),
		bounds: w.source.config.bounds(path),
	}
	if w.first && w.source.config.Start == "end" {
		f.origin = fromEnd
	}
	// The directory is watched before the file is read, so that no change falls
	// between the two.
	entry := &watched{follower: f, places: places(path)}
	for _, p := range entry.places {
		w.watch(filepath.Dir(p))
	}
	w.followers[path] = entry
	group.Go(func() error {
		err := f.run(ctx)
		if !errors.Is(err, errDone) {
			return err
		}
		select {
		case w.ended <- path:
		case <-ctx.Done():
		}
		return nil
	})
}

// watchLinks watches where symbolic links lead now.
func (w *watcher) watchLinks() {
	for path, f := range w.followers {
		if now := places(path); !slices.Equal(now, f.places) {
			f.places = now
			for _, p := range now {
				w.watch(filepath.Dir(p))
			}
		}
	}
}

// watchGlobs watches the directories in which files may appear.
func (w *watcher) watchGlobs() {
	for _, pattern := range w.source.config.Paths {
		dir := filepath.Dir(filepath.Clean(pattern))
		if strings.ContainsAny(dir, `*?[\`) {
			dirs, _ := filepath.Glob(dir)
			for _, d := range dirs {
				w.watch(d)
			}
			continue
		}
		w.watch(dir)
	}
}

// watch asks for the notifications of a directory, once.
func (w *watcher) watch(dir string) {
	if w.events == nil || w.dirs[dir] {
		return
	}
	if len(w.dirs) >= w.source.config.MaxFiles {
		w.blind = true
		return
	}
	err := w.events.Add(dir)
	switch {
	case err == nil:
		w.dirs[dir] = true
	case errors.Is(err, os.ErrNotExist):
		// A later scan tries again.
	default:
		w.dirs[dir] = true
		w.blind = true
		w.source.log.Info("no notifications for a directory; its files are polled", "directory", dir, "error", err)
	}
}

// pass wakes the followers that an event concerns; it reports whether the event
// may have brought a file that nobody follows.
func (w *watcher) pass(event fsnotify.Event) (unknown bool) {
	if event.Name == "" {
		return false
	}
	known := false
	for _, f := range w.followers {
		for _, p := range f.places {
			// Files rotated away keep the path as the beginning of their name.
			if strings.HasPrefix(event.Name, p) {
				f.notify()
				known = known || event.Name == p
			}
		}
	}
	if w.dirs[event.Name] && event.Has(fsnotify.Remove|fsnotify.Rename) {
		delete(w.dirs, event.Name)
	}
	return !known && event.Has(fsnotify.Create) && w.source.wants(event.Name)
}

// poll wakes the followers whose path looks different; it reports whether there
// is one.
func (w *watcher) poll() (changed bool) {
	for _, f := range w.followers {
		info, err := os.Stat(f.path)
		if err != nil {
			info = nil
		}
		if !unchanged(f.info, info) {
			f.info = info
			f.notify()
			changed = true
		}
	}
	return changed
}

func (w *watcher) wakeAll() {
	for _, f := range w.followers {
		f.notify()
	}
}

func unchanged(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && identify(a) == identify(b)
}
