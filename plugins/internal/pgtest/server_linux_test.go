package pgtest

import (
	"errors"
	"os"
	"testing"
)

func TestServer(t *testing.T) {
	s, err := Start(Config{})
	if errors.Is(err, ErrAbsent) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
			t.Errorf("got %v, want the data removed", err)
		}
	}()
	name := s.Database(t, "")
	s.Exec(t, name, "CREATE TABLE x (n int); INSERT INTO x VALUES (7)")
	for _, end := range []func() error{s.Kill, s.Stop} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		if got := Value[int](t, s, name, "SELECT n FROM x"); got != 7 {
			t.Errorf("got %d, want 7", got)
		}
	}
}
