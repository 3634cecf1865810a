package supervise

import (
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestEndedIsToldOfDeathsAlone kills a plugin, reloads it and stops it.
func TestEndedIsToldOfDeathsAlone(t *testing.T) {
	var mu sync.Mutex
	var causes []string
	kept := make(chan Past, 8)
	s, _ := supervised(t, func(s *Spec) {
		s.Ended = func(cause error) {
			mu.Lock()
			defer mu.Unlock()
			causes = append(causes, errText(cause))
		}
		work := s.Work
		s.Work = func() uint64 { // what Ended found out is work
			mu.Lock()
			defer mu.Unlock()
			return work() + uint64(len(causes))
		}
		s.Keep = func(p Past) { kept <- p }
	})
	first := another(t, s, 0)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	another(t, s, first)
	if err := s.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	s.Stop()
	mu.Lock()
	defer mu.Unlock()
	if len(causes) != 1 || !strings.Contains(causes[0], "killed") {
		t.Errorf("Ended was told %q, want of the one death and how it came", causes)
	}
	select {
	case p := <-kept:
		t.Errorf("the life counts as one that got nothing done: %+v", p)
	default:
	}
}
