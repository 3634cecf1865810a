package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func open(t *testing.T, dir string, maxState int64) *Store {
	t.Helper()
	s, err := Open(dir, maxState)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func put(key, value string) *pb.StateEntry { return &pb.StateEntry{Key: key, Value: []byte(value)} }

func stateOf(t *testing.T, s *Store, plugin string) map[string]string {
	t.Helper()
	entries, err := s.PluginState(plugin)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		out[e.Key] = string(e.Value)
	}
	return out
}

func TestStoreSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	s.Checkpoint("src", "a", 10, []byte("cp"))
	s.Checkpoint("src", "b\x00c", 20, nil)
	s.Checkpoint("src2", "a", 30, nil)
	s.Durable("det", []Position{{1, 5}, {1 << 63, 6}}, []*pb.StateEntry{put("k", "v"), put("zero\x00byte", ""), put("gone", "x"), {Key: "gone", Deleted: true}})
	s.Durable("de", nil, []*pb.StateEntry{put("tk", "other")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, 1<<20)
	sources, err := s.SourcePositions("src")
	if err != nil {
		t.Fatal(err)
	}
	want := []*pb.Position{{Stream: "a", NextSequence: 10, Checkpoint: []byte("cp")}, {Stream: "b\x00c", NextSequence: 20}}
	if d := cmp.Diff(want, sources, protocmp.Transform()); d != "" {
		t.Errorf("sources (-want +got):\n%s", d)
	}
	positions, err := s.Positions("det")
	if d := cmp.Diff(map[uint64]uint64{1: 5, 1 << 63: 6}, positions); d != "" || err != nil {
		t.Errorf("positions, error %v (-want +got):\n%s", err, d)
	}
	if d := cmp.Diff(map[string]string{"k": "v", "zero\x00byte": ""}, stateOf(t, s, "det")); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]string{"tk": "other"}, stateOf(t, s, "de")); d != "" {
		t.Errorf("state of a plugin whose name begins the same (-want +got):\n%s", d)
	}
}

func TestStoreIsLocked(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the lock")
	}
	dir := t.TempDir()
	open(t, dir, 1<<20)
	if _, err := Open(dir, 1<<20); !errors.Is(err, ErrLocked) {
		t.Errorf("a second host: %v, want ErrLocked", err)
	}
}

// TestStoreSizes compares the count of the state with what is really there,
// through overwriting, deleting, refusals, failed commits and restarts.
func TestStoreSizes(t *testing.T) {
	const most = 2000
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		s := open(t, dir, most)
		s.db.NoSync = true
		model := map[string]string{}
		size := 0
		refused := uint64(0)
		for range 300 {
			switch r.IntN(10) {
			case 0:
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
			case 1:
				// A commit that fails: what it held stays pending.
				s.mu.Lock()
				s.pending.state[""] = []byte("the database refuses an empty key")
				s.mu.Unlock()
				if err := s.Flush(); err == nil {
					t.Fatal("the commit did not fail")
				}
				s.mu.Lock()
				delete(s.pending.state, "")
				s.mu.Unlock()
			default:
				key := fmt.Sprint("k", r.IntN(10))
				full := "p\x00" + key
				old, had := model[key]
				now := size
				if had {
					now -= len(full) + len(old)
				}
				if r.IntN(4) == 0 {
					s.Durable("p", nil, []*pb.StateEntry{{Key: key, Deleted: true}})
					delete(model, key)
					size = now
					continue
				}
				value := strings.Repeat("v", r.IntN(600))
				s.Durable("p", nil, []*pb.StateEntry{put(key, value)})
				if now += len(full) + len(value); now > most {
					refused++
				} else {
					model[key], size = value, now
				}
			}
			if got := s.sizes["p"]; got != int64(size) {
				t.Fatalf("seed %d: counted %d bytes, there are %d", seed, got, size)
			}
		}
		if got := s.StateRefused("p"); got != refused {
			t.Errorf("seed %d: refused %d, want %d", seed, got, refused)
		}
		if d := cmp.Diff(model, stateOf(t, s, "p")); d != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, d)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if again := open(t, dir, most); again.sizes["p"] != int64(size) {
			t.Errorf("seed %d: after a restart %d bytes, want %d", seed, again.sizes["p"], size)
		}
	}
}

func TestStoreMergesAfterFailedCommit(t *testing.T) {
	s := open(t, t.TempDir(), 1<<20)
	s.Durable("p", []Position{{1, 1}, {2, 1}}, []*pb.StateEntry{put("a", "old"), put("b", "old"), put("c", "old")})
	s.Checkpoint("p", "s", 1, []byte("old"))
	failing := s.pending
	failing.state[""] = []byte("refused")
	s.pending = newPending()
	s.Durable("p", []Position{{1, 2}}, []*pb.StateEntry{put("b", "new"), {Key: "c", Deleted: true}})
	s.Checkpoint("p", "s", 2, []byte("new"))
	s.pending = merge(failing, s.pending) // as Flush does
	if err := s.Flush(); err == nil {
		t.Fatal("the commit did not fail")
	}
	delete(s.pending.state, "")
	if d := cmp.Diff(map[string]string{"a": "old", "b": "new"}, stateOf(t, s, "p")); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}
	positions, err := s.Positions("p")
	if d := cmp.Diff(map[uint64]uint64{1: 2, 2: 1}, positions); d != "" || err != nil {
		t.Errorf("positions, error %v (-want +got):\n%s", err, d)
	}
	sources, err := s.SourcePositions("p")
	if err != nil || len(sources) != 1 || sources[0].NextSequence != 2 {
		t.Errorf("sources: %v, error %v", sources, err)
	}
}

// TestStoreOutlivesHostileKeys: what one plugin sends must not fail the commits
// of all.
func TestStoreOutlivesHostileKeys(t *testing.T) {
	s := open(t, t.TempDir(), 1<<20)
	long := strings.Repeat("k", bbolt.MaxKeySize+1)
	s.Durable("p", []Position{{1, 2}}, []*pb.StateEntry{put(long, "v"), put("", "empty"), put("good", "v")})
	s.Checkpoint("p", long, 7, nil)
	s.Checkpoint("p", "", 8, nil)
	if err := s.Flush(); err != nil {
		t.Fatalf("Flush: %v", err)
	}
	if d := cmp.Diff(map[string]string{"": "empty", "good": "v"}, stateOf(t, s, "p")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := s.StateRefused("p"); got != 2 {
		t.Errorf("StateRefused = %d, want 2", got)
	}
}

func TestStoreRunCommitsAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx, time.Hour, func(err error) { t.Error(err) })
	}()
	s.Checkpoint("p", "s", 3, nil)
	cancel()
	<-done
	err := s.db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketSources).Get([]byte("p\x00s")) == nil {
			t.Error("what was noted before the end is not in the database")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStoreClosed(t *testing.T) {
	s := open(t, t.TempDir(), 1<<20)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	s.Durable("p", []Position{{1, 1}}, []*pb.StateEntry{put("a", "b")})
	s.Checkpoint("p", "s", 1, nil)
	if err := s.Flush(); err == nil {
		t.Error("Flush after Close: got no error")
	}
}

func TestTable(t *testing.T) {
	type doc struct{ A string }
	s := open(t, t.TempDir(), 1<<20)
	table, err := NewTable[doc](s, "docs")
	if err != nil {
		t.Fatal(err)
	}
	if _, found, err := table.Get("x"); found || err != nil {
		t.Errorf("Get of nothing: %v, %v", found, err)
	}
	if err := errors.Join(table.Put("x", doc{"1"}), table.PutAll(map[string]doc{"y": {"2"}, "z": {"3"}}), table.Delete("z", "absent")); err != nil {
		t.Fatal(err)
	}
	if v, found, err := table.Get("x"); !found || err != nil || v.A != "1" {
		t.Errorf("Get: %v, %v, %v", v, found, err)
	}
	if err := s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(table.name).Put([]byte("bad"), []byte("{")) }); err != nil {
		t.Fatal(err)
	}
	all, err := table.All()
	if d := cmp.Diff(map[string]doc{"x": {"1"}, "y": {"2"}}, all); d != "" {
		t.Errorf("All (-want +got):\n%s", d)
	}
	if err == nil || !strings.Contains(err.Error(), "bad") {
		t.Errorf("All: error %v does not name the bad document", err)
	}
	if err := table.Put("", doc{}); err == nil {
		t.Error("Put under an empty key: got no error")
	}
}

func TestMakeDir(t *testing.T) {
	base := t.TempDir()
	if err := MakeDir(filepath.Join(base, "a", "b"), 0o700); err != nil {
		t.Error(err)
	}
	loose := filepath.Join(base, "loose")
	if err := os.Mkdir(loose, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(loose, 0o770); err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(loose, 0o700); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("a directory that others can write: %v", err)
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(file, 0o700); err == nil {
		t.Error("a file: got no error")
	}
}

func BenchmarkDurable(b *testing.B) {
	s, err := Open(b.TempDir(), 64<<20)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	value := bytes.Repeat([]byte("v"), 200)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Durable("p", []Position{{1, uint64(i)}}, []*pb.StateEntry{{Key: fmt.Sprint(i % 1000), Value: value}})
	}
}
