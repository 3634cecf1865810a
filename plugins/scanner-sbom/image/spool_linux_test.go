package image

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// TestSpoolLeavesRoom: what an image expands to does not fill the disk to its last byte.
func TestSpoolLeavesRoom(t *testing.T) {
	for _, tt := range []struct {
		reserve int64
		want    bool
	}{{1, true}, {math.MaxInt64 - 1, false}} {
		s := &spool{dir: t.TempDir(), left: 1 << 30, reserve: tt.reserve}
		_, err := s.Write(make([]byte, 1<<20))
		if (err == nil) != tt.want || err != nil && (!errors.Is(err, errSpool) || !strings.Contains(err.Error(), "left")) {
			t.Errorf("%d bytes are to stay: got %v, want it written %v", tt.reserve, err, tt.want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
