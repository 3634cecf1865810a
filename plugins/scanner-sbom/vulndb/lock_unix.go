//go:build linux || darwin

package vulndb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// locks says whether lock keeps others out.
const locks = true

// lockPause is how long to wait before a lock that somebody holds is asked for again: a
// call that waits in the kernel could not be ended with the context.
const lockPause = 20 * time.Millisecond

// lock waits until no other import holds the file, and returns what lets it go. The system
// lets it go too when the process ends.
func lock(ctx context.Context, path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil // nothing was written
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for another import, which holds %s: %w", path, context.Cause(ctx)), f.Close())
		case <-time.After(lockPause):
		}
	}
}

// unnamed takes the name of a file that only this process uses, so that nothing of it
// stays when the process is killed.
func unnamed(f *os.File) error { return os.Remove(f.Name()) }

// syncDir makes a rename in a folder durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the folder: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync the folder: %w", err)
	}
	return nil
}
