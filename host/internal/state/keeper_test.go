package state

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
)

// keeper is a Keeper whose changes are set by the test.
type keeper struct {
	changes map[string][]byte
	asked   func()
}

func (k *keeper) Changes() map[string][]byte {
	if k.asked != nil {
		k.asked()
	}
	out := k.changes
	k.changes = nil
	return out
}

func kept(t *testing.T, s *Store, name string, k *keeper) map[string]string {
	t.Helper()
	got := make(map[string]string)
	if err := s.Keep(name, k, func(key string, value []byte) { got[key] = string(value) }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestKeeper(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	k, other := new(keeper), new(keeper)
	if got := kept(t, s, "one", k); len(got) != 0 {
		t.Errorf("a new name holds %v", got)
	}
	kept(t, s, "two", other)
	k.changes = map[string][]byte{"a": []byte("1"), "b": {}, "c": []byte("3"), strings.Repeat("x", maxKey+1): {1}, "": {1}}
	other.changes = map[string][]byte{"a": []byte("other")}
	// What a keeper has is committed with the state of plugins, and is never behind it.
	k.asked = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.pending.empty() {
			t.Error("the keeper was asked before what is pending was taken")
		}
	}
	s.Durable("d", []Position{{1, 2}}, nil)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	k.asked = nil
	k.changes = map[string][]byte{"c": nil, "never there": nil, "d": []byte("4")}
	if err := s.Close(); err != nil { // the last commit has it too
		t.Fatal(err)
	}
	s = open(t, dir, 1<<20)
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "", "d": "4"}, kept(t, s, "one", k)); diff != "" {
		t.Errorf("one (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"a": "other"}, kept(t, s, "two", other)); diff != "" {
		t.Errorf("two (-want +got):\n%s", diff)
	}
}

// A commit that fails keeps what it held for the next one, under what is newer.
func TestKeeperOfACommitThatFails(t *testing.T) {
	s := open(t, t.TempDir(), 1<<20)
	k := new(keeper)
	kept(t, s, "one", k)
	remove := func(tx *bbolt.Tx) error { return tx.DeleteBucket(keptBucket("one")) }
	if err := s.db.Update(remove); err != nil {
		t.Fatal(err)
	}
	k.changes = map[string][]byte{"a": []byte("old"), "b": []byte("kept")}
	if err := s.Flush(); err == nil {
		t.Fatal("a commit without its bucket went well")
	}
	k.changes = map[string][]byte{"a": []byte("new")}
	if got := kept(t, s, "one", k); len(got) != 0 { // makes the bucket again
		t.Errorf("got %v, want nothing committed", got)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "new", "b": "kept"}, kept(t, s, "one", k)); diff != "" {
		t.Errorf("one (-want +got):\n%s", diff)
	}
}
