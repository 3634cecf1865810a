package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestUID(t *testing.T) {
	taken := make(map[uint32]string)
	const n = LastUID - FirstUID + 1
	for i := range n {
		name := fmt.Sprintf("plugin-%d", i)
		uid, err := UID(name, taken)
		if err != nil {
			t.Fatalf("UID(%s): %v", name, err)
		}
		if uid < FirstUID || uid > LastUID {
			t.Fatalf("UID(%s): got %d, want one from %d to %d", name, uid, FirstUID, LastUID)
		}
		if owner, ok := taken[uid]; ok {
			t.Fatalf("UID(%s): got %d, which is %s's", name, uid, owner)
		}
		taken[uid] = name
	}
	for uid, name := range taken {
		if got, err := UID(name, taken); err != nil || got != uid {
			t.Fatalf("UID(%s) again: got %d, %v, want %d", name, got, err, uid)
		}
	}
	if _, err := UID("one too many", taken); err == nil {
		t.Error("UID when all are taken: got no error")
	}
	a, _ := UID("parser-syslog", nil)
	b, _ := UID("parser-syslog", map[uint32]string{})
	if a != b {
		t.Errorf("UID is not stable: got %d and %d", a, b)
	}
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		address string
		want    error
	}{
		{"udp://127.0.0.1:0", nil},
		{"tcp://[::1]:0", nil},
		{"tcp4://:0", nil},
		{"127.0.0.1:514", ErrAddress},
		{"udp://", ErrAddress},
		{"udp://localhost:0", ErrAddress},
		{"udp://127.0.0.1", ErrAddress},
		{"sctp://127.0.0.1:0", ErrAddress},
		{"unix://relative", ErrAddress},
		{"udp://127.0.0.1:99999", errAny},
		{"unix://" + filepath.Join(dir, "missing", "s"), os.ErrNotExist},
	} {
		t.Run(tt.address, func(t *testing.T) {
			f, err := Listen(t.Context(), tt.address)
			if err == nil {
				f.Close()
			}
			if errors.Is(tt.want, errAny) && err != nil {
				return
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	if runtime.GOOS != "windows" {
		f, err := Listen(t.Context(), "unix://"+filepath.Join(dir, "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := os.Stat(filepath.Join(dir, "s")); err != nil {
			t.Errorf("the socket of a passed listener: got %v, want it to stay", err)
		}
	}
}

var errAny = errors.New("any error")
