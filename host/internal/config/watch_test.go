package config

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// change is one call of changed, with what the file then held.
type change string

// watch runs Watch on path until the test ends and returns its calls.
func watch(t *testing.T, path string) <-chan change {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	changes := make(chan change, 64)
	done := make(chan error, 1)
	go func() {
		done <- Watch(ctx, path, func() {
			b, err := os.ReadFile(path)
			if err != nil {
				b = []byte(err.Error())
			}
			changes <- change(b)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch: %v", err)
		}
	})
	return changes
}

// await repeats act, which must change the file to want, until Watch reports it;
// repeating covers that Watch may not have begun at the first.
func await(t *testing.T, changes <-chan change, want change, act func()) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		act()
		retry := time.After(700 * time.Millisecond)
	wait:
		for {
			select {
			case got := <-changes:
				if got == want {
					return
				}
			case <-retry:
				break wait
			case <-deadline:
				t.Fatalf("no change to %q was reported", want)
			}
		}
	}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWatchRealFiles(t *testing.T) {
	t.Run("written in place, replaced, removed and back", func(t *testing.T) {
		path := write(t, "0")
		changes := watch(t, path)
		await(t, changes, "1", func() { put(t, path, "1") })
		await(t, changes, "two", func() {
			put(t, path+".tmp", "two")
			if err := os.Rename(path+".tmp", path); err != nil {
				t.Fatal(err)
			}
		})
		await(t, changes, "three", func() {
			_ = os.Remove(path)
			put(t, path, "three")
		})
	})
	t.Run("through a symbolic link, written and pointed elsewhere", func(t *testing.T) {
		a, b, c := write(t, "0"), write(t, "b"), filepath.Join(t.TempDir(), "ironpost.toml")
		if err := os.Symlink(a, c); err != nil {
			t.Skipf("no symbolic links: %v", err)
		}
		changes := watch(t, c)
		await(t, changes, "1", func() { put(t, a, "1") })
		await(t, changes, "b", func() {
			_ = os.Remove(c + ".tmp")
			if err := os.Symlink(b, c+".tmp"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(c+".tmp", c); err != nil {
				t.Fatal(err)
			}
		})
		await(t, changes, "b2", func() { put(t, b, "b2") })
	})
	t.Run("no directory", func(t *testing.T) {
		err := Watch(t.Context(), filepath.Join(t.TempDir(), "no", "ironpost.toml"), func() {})
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want %v", err, fs.ErrNotExist)
		}
	})
}

// info is a file whose state is its size.
type info struct {
	fs.FileInfo
	size int64
}

func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Time{} }

func TestSettling(t *testing.T) {
	type step struct {
		wait  time.Duration
		size  int64 // -1: there is no file
		event bool
	}
	tests := []struct {
		name  string
		steps []step
		want  []int64 // sizes at the calls
	}{
		{"one write", []step{{time.Second, 1, true}}, []int64{1}},
		{"an event that changes nothing", []step{{time.Second, 0, true}}, nil},
		{"truncated, then written within the interval", []step{{time.Second, -1, true}, {50 * time.Millisecond, 7, true}}, []int64{7}},
		{"a long write is one change", []step{
			{time.Second, 1, true},
			{60 * time.Millisecond, 2, true},
			{60 * time.Millisecond, 3, true},
			{60 * time.Millisecond, 4, true},
			{60 * time.Millisecond, 5, false},
		}, []int64{5}},
		{"removed and back as it was", []step{{time.Second, -1, true}, {time.Second, 0, true}}, nil},
		{"removed and back otherwise", []step{{time.Second, -1, true}, {time.Second, 3, true}}, []int64{3}},
		{"two changes", []step{{time.Second, 1, true}, {time.Second, 2, true}}, []int64{1, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				var size atomic.Int64
				var got []int64
				s := settler{
					look: func() look {
						if size.Load() < 0 {
							return look{}
						}
						return look{info{size: size.Load()}}
					},
					same:    func(a, b look) bool { return a == b },
					changed: func() { got = append(got, size.Load()) },
				}
				events := make(chan fsnotify.Event)
				done := make(chan error)
				go func() { done <- s.run(ctx, events, nil) }()
				synctest.Wait()
				for _, st := range tt.steps {
					<-time.After(st.wait)
					size.Store(st.size)
					if st.event {
						events <- fsnotify.Event{}
					}
				}
				<-time.After(time.Minute)
				synctest.Wait()
				cancel()
				if err := <-done; err != nil {
					t.Errorf("run: %v", err)
				}
				if len(got) != len(tt.want) {
					t.Fatalf("got %v, want %v", got, tt.want)
				}
				for i := range got {
					if got[i] != tt.want[i] {
						t.Errorf("got %v, want %v", got, tt.want)
					}
				}
			})
		})
	}
}
