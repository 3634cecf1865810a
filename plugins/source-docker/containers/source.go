package containers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/plugins/internal/docker"
	"github.com/ironpost/ironpost/sdk"
)

const (
	// streamPrefix stands in front of the id in the name of a container's stream.
	streamPrefix = "container/"
	// rescan is how often all containers are listed; changes are seen at once by
	// the events, which Docker leaves out for slow readers.
	rescan = time.Minute
	// maxFinished bounds the containers remembered that have ended.
	maxFinished = 4096
)

var errNotGranted = errors.New("the host serves no calls of Docker for this plugin; grant them with `ironpost plugin enable source-docker`")

// Source reads containers. It implements sdk.LogSource.
type Source struct {
	config  *Config
	log     hclog.Logger
	counter func(string, uint64)
	socket  string

	mu sync.Mutex
	// absent says why Docker does not answer; nil while it does.
	absent error
	// unreadable says why the output of some containers cannot be read, by name.
	unreadable map[string]string
	// refused is how many containers are beyond max_containers.
	refused int
}

// New returns a Source with the configuration that config holds when Setup is
// called; config must not change afterwards.
func New(config *Config) *Source {
	return &Source{
		config: config, log: hclog.NewNullLogger(), counter: func(string, uint64) {},
		unreadable: make(map[string]string),
	}
}

// Setup checks the configuration and takes over the socket, logger and counters.
func (s *Source) Setup(_ context.Context, env sdk.Env) error {
	if env.Logger != nil {
		s.log = env.Logger
	}
	if env.Counter != nil {
		s.counter = env.Counter
	}
	if s.socket = env.Docker; s.socket == "" {
		s.absent = errNotGranted
	}
	return s.config.Validate()
}

// Health says why containers are not read.
func (s *Source) Health(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.absent != nil {
		return fmt.Errorf("Docker is absent: %w", s.absent) //nolint:staticcheck // Docker is a name
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s.unreadable)) {
		if len(parts) == 8 {
			parts = append(parts, fmt.Sprintf("and %d more", len(s.unreadable)-8))
			break
		}
		parts = append(parts, fmt.Sprintf("the output of %s cannot be read: %s", name, s.unreadable[name]))
	}
	if s.refused > 0 {
		parts = append(parts, fmt.Sprintf("%d containers beyond max_containers are not read; raise it in [source_docker], or exclude some", s.refused))
	}
	if len(parts) == 0 {
		return nil
	}
	return errors.New(strings.Join(parts, "; "))
}

// Run reads containers until ctx is done. The absence of Docker is no error:
// Health says so, and it is tried again.
func (s *Source) Run(ctx context.Context, out sdk.Emitter) error {
	if s.socket == "" {
		<-ctx.Done()
		return nil
	}
	api := newAPI(s.socket)
	defer api.Close()
	w := newWatcher(s, api, out)
	group, ctx := errgroup.WithContext(ctx)
	e := &events{source: s, api: api, out: out, changed: w.changed}
	group.Go(func() error { return e.run(ctx) })
	group.Go(func() error { return w.run(ctx, group) })
	return group.Wait()
}

// answered notes whether Docker answers.
func (s *Source) answered(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.absent
	s.absent = err
	switch {
	case err != nil && (old == nil || old.Error() != err.Error()):
		s.log.Warn("Docker does not answer; it is tried again", "error", err)
	case err == nil && old != nil:
		s.log.Info("Docker answers")
	}
}

// readable notes whether the output of a container can be read; nil says that it
// can, or that the container is gone.
func (s *Source) readable(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.unreadable, name)
		return
	}
	if _, ok := s.unreadable[name]; !ok {
		s.log.Warn("the output of a container cannot be read", "container", name, "error", err)
		s.counter("containers_unreadable", 1)
	}
	s.unreadable[name] = err.Error()
}

// watcher starts a follower for each container. One goroutine uses it, but for
// changed.
type watcher struct {
	source *Source
	api    *api
	out    sdk.Emitter
	stored map[string]bool
	// began is when this plugin began; first holds during the first scan.
	began int64
	first bool

	known map[string]*entry
	ended chan ending
	// notes are containers that were started, by the events; the empty one stands
	// for any change.
	notes chan string
}

// entry is a container that was seen.
type entry struct {
	follower *follower
	// active says that its goroutine runs.
	active bool
	// idle says that there is nothing to read until it is started again.
	idle bool
	// pause is how long to wait before reading again what ended at once; until
	// is when.
	pause time.Duration
	until time.Time
	begun time.Time
}

// ending is how a follower ended.
type ending struct {
	id  string
	err error
}

func newWatcher(s *Source, api *api, out sdk.Emitter) *watcher {
	w := &watcher{
		source: s, api: api, out: out, began: time.Now().UnixNano(), first: true,
		stored: make(map[string]bool),
		known:  make(map[string]*entry),
		ended:  make(chan ending, 16),
		notes:  make(chan string, 256),
	}
	for _, name := range out.Positions() {
		if id, ok := strings.CutPrefix(name, streamPrefix); ok {
			w.stored[id] = true
		}
	}
	return w
}

// changed makes the watcher look at the containers; id names one that was
// started. It never blocks.
func (w *watcher) changed(id string) {
	select {
	case w.notes <- id:
	default: // a look at all of them is due anyway
	}
}

// run lists containers and starts followers until ctx is done; then it returns
// nil.
func (w *watcher) run(ctx context.Context, group *errgroup.Group) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.ended:
			if err := w.finish(e); err != nil {
				return err
			}
		case id := <-w.notes:
			w.note(id)
		case <-timer.C:
		}
		for more := true; more; {
			select {
			case e := <-w.ended:
				if err := w.finish(e); err != nil {
					return err
				}
			case id := <-w.notes:
				w.note(id)
			default:
				more = false
			}
		}
		next, err := w.scan(ctx, group)
		if ctx.Err() != nil {
			return nil
		}
		w.source.answered(err)
		if err != nil {
			next, pause = pause, min(2*pause, lastPause)
		} else {
			pause = firstPause
		}
		timer.Reset(next)
	}
}

// note takes in that a container was started.
func (w *watcher) note(id string) {
	if e := w.known[id]; e != nil {
		e.idle = false
	}
}

// finish takes in how a follower ended. It returns what ends the source.
func (w *watcher) finish(end ending) error {
	e := w.known[end.id]
	e.active = false
	name := e.follower.about.Load().name()
	if failed, ok := errors.AsType[*emitError](end.err); ok {
		return fmt.Errorf("emit lines of container %s: %w", name, failed.err)
	}
	w.source.readable(name, nil)
	switch {
	case end.err == nil:
		// The next list says whether it runs again.
		e.idle = !e.follower.about.Load().running()
	case docker.NotFound(end.err):
		e.follower.close()
		delete(w.known, end.id)
		return nil
	case permanent(end.err):
		w.source.readable(name, end.err)
		e.idle = true
		return nil
	default:
		w.source.counter("connections_lost", 1)
		w.source.log.Debug("the output of a container is asked for again", "container", name, "reason", end.err)
	}
	if time.Since(e.begun) < time.Second {
		e.pause = min(max(2*e.pause, firstPause), lastPause)
	} else {
		e.pause = 0
	}
	e.until = time.Now().Add(e.pause)
	return nil
}

// scan starts followers for containers with something to read, and returns when
// to look again.
func (w *watcher) scan(ctx context.Context, group *errgroup.Group) (next time.Duration, err error) {
	list, err := w.api.list(ctx)
	if err != nil {
		return 0, err
	}
	listed := make(map[string]bool, len(list))
	active, refused := 0, 0
	for _, e := range w.known {
		if e.active {
			active++
		}
	}
	next = rescan
	for i := range list {
		about := &list[i]
		listed[about.ID] = true
		if !w.source.config.wants(about) {
			continue
		}
		e := w.known[about.ID]
		if e == nil {
			e = w.meet(about)
		}
		e.follower.about.Store(w.unchanged(e.follower.about.Load(), about))
		if e.active || e.idle && !about.running() {
			continue
		}
		if wait := time.Until(e.until); wait > 0 {
			next = min(next, wait)
			continue
		}
		if active >= w.source.config.MaxContainers {
			refused++
			continue
		}
		active++
		w.start(ctx, group, e)
	}
	for id, e := range w.known {
		if !listed[id] && !e.active {
			e.follower.close()
			w.source.readable(e.follower.about.Load().name(), nil)
			delete(w.known, id)
		}
	}
	w.first = false
	s := w.source
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused > s.refused {
		s.counter("containers_refused", uint64(refused-s.refused))
	}
	s.refused = refused
	return next, nil
}

// unchanged returns the older of two descriptions when they say the same, so
// that lines need not be described anew.
func (w *watcher) unchanged(old, about *container) *container {
	if old != nil && old.name() == about.name() && old.Image == about.Image && old.State == about.State && maps.Equal(old.Labels, about.Labels) {
		return old
	}
	return about
}

// meet makes the entry of a container that was not known.
func (w *watcher) meet(about *container) *entry {
	f := &follower{id: about.ID, source: w.source, api: w.api, out: w.out}
	e := &entry{follower: f}
	if w.first && w.source.config.Start == "end" {
		f.start = w.began
		// One that has ended before has nothing more to say.
		e.idle = !about.running() && !w.stored[about.ID]
	}
	f.about.Store(about)
	if len(w.known) >= maxFinished {
		w.forget()
	}
	w.known[about.ID] = e
	return e
}

// forget makes room among the containers that have ended.
func (w *watcher) forget() {
	for id, e := range w.known {
		if !e.active && e.idle {
			e.follower.close()
			delete(w.known, id)
			w.stored[id] = true
			return
		}
	}
}

func (w *watcher) start(ctx context.Context, group *errgroup.Group, e *entry) {
	e.active, e.begun = true, time.Now()
	group.Go(func() error {
		err := e.follower.run(ctx)
		select {
		case w.ended <- ending{e.follower.id, err}:
		case <-ctx.Done():
		}
		return nil
	})
}
