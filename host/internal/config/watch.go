package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleInterval is how far apart two looks at a file must find it unchanged
// before it counts as written: an editor that truncates and then writes leaves
// a file that is empty, and valid, for a moment.
const settleInterval = 100 * time.Millisecond

// Watch calls changed after the file at path was written, created or replaced
// and has rested for a moment, until ctx is done; then it returns nil. It
// watches the directory, and that of the file a symbolic link leads to, so that
// editors and mounts that replace the file by a rename are seen. A file that is
// removed is no change; its return is. A write that leaves the content as it
// was may call changed; what happened before Watch began is not seen.
//
// changed runs on the goroutine of Watch: calls never overlap, and what happens
// during one is seen after it. The error says why the directory can not be
// watched.
func Watch(ctx context.Context, path string, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	defer w.Close()
	dirs := func() (string, string) {
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			target = path
		}
		return filepath.Dir(path), filepath.Dir(target)
	}
	dir, target := dirs()
	if err := w.Add(dir); err != nil {
		return fmt.Errorf("watch the directory of %s: %w", path, err)
	}
	if target != dir {
		if err := w.Add(target); err != nil {
			return fmt.Errorf("watch the directory that %s leads to: %w", path, err)
		}
	}
	s := settler{look: func() look { return lookAt(path) }, same: look.same, changed: func() {
		// A link may lead elsewhere now. Where it can not be watched the
		// next change of the link is still seen.
		if _, next := dirs(); next != target {
			if target != dir {
				_ = w.Remove(target)
			}
			target = next
			_ = w.Add(next)
		}
		changed()
	}}
	return s.run(ctx, w.Events, w.Errors)
}

// look is what a file looked like at one moment.
type look struct {
	info os.FileInfo // nil when there is no file
}

func lookAt(path string) look {
	info, err := os.Stat(path)
	if err != nil {
		return look{}
	}
	return look{info}
}

func (l look) same(other look) bool {
	if l.info == nil || other.info == nil {
		return l.info == nil && other.info == nil
	}
	return os.SameFile(l.info, other.info) && l.info.Size() == other.info.Size() &&
		l.info.ModTime().Equal(other.info.ModTime())
}

// settler turns events of a directory into changes of one file. It holds no
// queue: an event only says that it is worth a look.
type settler struct {
	look    func() look
	same    func(a, b look) bool
	changed func()
}

// errUnwatched ends a watch whose events stopped.
var errUnwatched = errors.New("the watch was closed")

func (s *settler) run(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error) error {
	last := s.look()
	seen := last
	timer := time.NewTimer(0)
	timer.Stop()
	armed := false
	arm := func() {
		if !armed {
			armed = true
			timer.Reset(settleInterval)
		}
	}
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-events:
			if !ok {
				return errUnwatched
			}
			arm()
		case _, ok := <-errs:
			// Events were lost, for example by an overflow: look anyway.
			if !ok {
				return errUnwatched
			}
			arm()
		case <-timer.C:
			armed = false
			now := s.look()
			switch {
			case !s.same(now, seen):
				seen = now
				arm()
			case now.info != nil && !s.same(now, last):
				last = now
				s.changed()
			}
		}
	}
}
