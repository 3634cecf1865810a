package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/docker"
)

// Kind says what happened.
type Kind uint8

// The kinds of events.
const (
	// Started: a container runs that did not.
	Started Kind = iota + 1
	// Ended: its processes ended; also told of one that was started anew. Removed: it is gone.
	Ended
	Removed
	// Renamed: it has another name.
	Renamed
	// Executed: a process was started in it, or one of these ended.
	Executed
	// ImageCame: an image is there, or has other names, if any. ImageGone: it is gone.
	ImageCame
	ImageGone
)

// Event is something that happened to a container or an image.
type Event struct {
	Kind Kind
	// Container is an id, "" for an image; Name is its name.
	Container, Name string
	// Image is the id of the image that came or went.
	Image string
	Time  time.Time
}

// Waits before events are asked for again.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	// late is how old an event may be that comes: Docker skips a reader that does not
	// take its events in time, who is late by then.
	late = 2 * time.Second
	// disorder is how far events of Docker are out of order.
	disorder = time.Second
)

// Events calls each with what happens, one at a time, until ctx is done, whose error
// it returns. It begins with what there is: Started for each container that runs, and
// ImageCame for each image. Docker may go and come back meanwhile: then what there is is
// compared with what was told, so that nothing is lost and nothing is told twice, but for
// Renamed and Executed of the time in which nobody listened. away, unless it is nil, is
// told why Docker cannot be asked, and nil when it can again.
func (e *Engine) Events(ctx context.Context, each func(Event), away func(error)) error {
	w := &watcher{
		engine: e, each: each, containers: map[string]time.Time{}, there: map[string]bool{}, images: map[string]string{},
	}
	pause := firstPause
	for {
		begun, err := w.follow(ctx, away)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// Docker may refuse to tell of what it is removing: then all is compared once more.
		_, answered := errors.AsType[*docker.StatusError](err)
		if away != nil && (!answered || errors.Is(err, ErrUnreachable)) {
			away(err)
		}
		if begun {
			pause = firstPause
		}
		e.config.Log.Debug("Docker's events are followed again", "reason", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, lastPause)
	}
}

// watcher knows what was told.
type watcher struct {
	engine *Engine
	each   func(Event)
	// containers are those that run, with the time of their start; there are those that
	// exist.
	containers map[string]time.Time
	there      map[string]bool
	// images are by id; the value has their names.
	images map[string]string

	// newest is the time of the newest event, in nanoseconds since 1970; seen are hashes of
	// the last ones.
	newest int64
	seen   []uint64
}

// follow follows the events as long as the connection stands.
func (w *watcher) follow(ctx context.Context, away func(error)) (begun bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var since int64
	if w.newest > 0 {
		since = w.newest - int64(disorder)
	}
	at := time.Now()
	if since == 0 {
		since = at.UnixNano() // Docker answers before it begins to listen
	}
	err = w.engine.api.Events(ctx, since, func() {
		begun = true
		at = time.Now()
		if away != nil {
			away(nil)
		}
		if err := w.compare(ctx); err != nil {
			cancel(err)
		}
	}, func(text []byte, ev *docker.Event) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		sum := fnv.New64a()
		_, _ = sum.Write(text) // it never fails
		if slices.Contains(w.seen, sum.Sum64()) {
			return nil
		}
		const most = 512 // Docker keeps 256
		if len(w.seen) == most {
			w.seen = slices.Delete(w.seen, 0, 1)
		}
		w.seen = append(w.seen, sum.Sum64())
		w.newest = max(w.newest, ev.At())
		if when := time.Unix(0, ev.At()); when.After(at) && time.Since(when) > late {
			at = time.Now()
			if err := w.compare(ctx); err != nil {
				return err
			}
		}
		return w.take(ctx, ev)
	})
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return begun, err
}

// compare tells what is otherwise than what was told.
func (w *watcher) compare(ctx context.Context) error {
	all, err := w.engine.Containers(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	there := map[string]bool{}
	for i := range all {
		there[all[i].ID] = true
		w.is(&all[i], now)
	}
	for _, id := range sortedKeys(w.there) {
		if !there[id] {
			w.removed(id, "", now)
		}
	}
	images, err := w.engine.Images(ctx)
	if err != nil {
		return err
	}
	here := map[string]bool{}
	for i := range images {
		here[images[i].ID] = true
		w.came(&images[i], now)
	}
	for _, id := range sortedKeys(w.images) {
		if !here[id] {
			w.went(id, now)
		}
	}
	return nil
}

// is tells what became of a container that is there.
func (w *watcher) is(c *Container, at time.Time) {
	w.there[c.ID] = true
	started, ran := w.containers[c.ID]
	switch runs := c.Running(); {
	case runs && (!ran || !started.Equal(c.Started)):
		if ran { // it was started anew before it was looked at
			w.each(Event{Kind: Ended, Container: c.ID, Name: c.Name, Time: at})
		}
		w.containers[c.ID] = c.Started
		w.each(Event{Kind: Started, Container: c.ID, Name: c.Name, Time: c.Started})
	case !runs && ran:
		delete(w.containers, c.ID)
		w.each(Event{Kind: Ended, Container: c.ID, Name: c.Name, Time: at})
	}
}

func (w *watcher) removed(id, name string, at time.Time) {
	if !w.there[id] {
		return
	}
	if _, ran := w.containers[id]; ran {
		w.each(Event{Kind: Ended, Container: id, Name: name, Time: at})
	}
	delete(w.there, id)
	delete(w.containers, id)
	w.each(Event{Kind: Removed, Container: id, Name: name, Time: at})
}

func (w *watcher) came(i *Image, at time.Time) {
	names := strings.Join(i.Tags, " ")
	if before, known := w.images[i.ID]; known && before == names {
		return
	}
	_, known := w.images[i.ID]
	w.images[i.ID] = names
	if known && names == "" {
		return // its last name went, as it does before the image
	}
	w.each(Event{Kind: ImageCame, Image: i.ID, Name: i.Name(), Time: at})
}

func (w *watcher) went(id string, at time.Time) {
	if _, known := w.images[id]; known {
		delete(w.images, id)
		w.each(Event{Kind: ImageGone, Image: id, Time: at})
	}
}

// take tells of an event of Docker's. What it says of a state is looked at: it may be
// another by now.
func (w *watcher) take(ctx context.Context, ev *docker.Event) error {
	at := time.Unix(0, ev.At())
	action, _, _ := strings.Cut(ev.Action, ":")
	id, name := ev.Actor.ID, ev.Actor.Attributes["name"]
	switch ev.Type {
	case "container":
		switch action {
		case "create", "start", "restart", "die", "stop", "kill", "unpause":
			c, err := w.engine.Inspect(ctx, id)
			switch {
			case errors.Is(err, ErrNotFound):
				return w.passed(id, name, action, at)
			case err != nil:
				return err
			}
			w.is(&c, at)
		case "destroy":
			w.removed(id, name, at)
		case "rename":
			w.each(Event{Kind: Renamed, Container: id, Name: name, Time: at})
		case "exec_start", "exec_die":
			w.each(Event{Kind: Executed, Container: id, Name: name, Time: at})
		}
	case "image":
		switch action {
		case "pull", "load", "import", "tag", "untag", "delete":
			return w.image(ctx, id, at)
		}
	}
	return nil
}

// passed tells of a container that was started and is gone by now.
func (w *watcher) passed(id, name, action string, at time.Time) error {
	_, ran := w.containers[id]
	switch {
	case action == "start" && !ran:
		w.there[id], w.containers[id] = true, at
		w.each(Event{Kind: Started, Container: id, Name: name, Time: at})
	case action == "die" && ran:
		delete(w.containers, id)
		w.each(Event{Kind: Ended, Container: id, Name: name, Time: at})
	}
	return nil
}

// image tells what became of an image, of which an event says the id or a name.
func (w *watcher) image(ctx context.Context, ref string, at time.Time) error {
	if !IsName(ref) {
		return fmt.Errorf("follow the events: an image named %q", ref)
	}
	i, err := w.engine.InspectImage(ctx, ref)
	switch {
	case errors.Is(err, ErrNotFound):
		w.went(ref, at)
	case err != nil:
		return err
	default:
		w.came(&i, at)
	}
	return nil
}
