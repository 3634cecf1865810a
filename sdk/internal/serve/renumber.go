package serve

import (
	"context"
	"time"
)

// Renumber has the records that come next begin at a number that was never used,
// that of the clock in microseconds, unless the stream is beyond it already. What
// was emitted before is sent first.
func (s *OutStream) Renumber(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.count > 0 && s.err == nil {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	if err := s.usable(); err != nil {
		return err
	}
	s.next = max(s.next, uint64(time.Now().UnixMicro()))
	s.fresh = false
	return nil
}
