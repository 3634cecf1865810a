package suite

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// set changes the state of an alert, here and there.
func (s *storeSuite) set(h *Host, id, state, actor, note string) {
	h.tb.Helper()
	before := time.Now()
	r, err := pb.NewSinkClient(h.conn).Update(h.tb.Context(), &pb.UpdateRequest{AlertId: id, State: state, Actor: actor, Note: note})
	if err != nil || !r.GetFound() {
		h.tb.Fatalf("set alert %s %s: got %v and %v, want it found", id, state, r.GetFound(), err)
	}
	k := s.model.byKey[id]
	k.state = state
	k.history = slices.Insert(k.history, 0, change{state: state, actor: actor, note: note, from: before, to: time.Now()})
}

// setStates gives some alerts a state.
func (s *storeSuite) setStates(h *Host) {
	h.tb.Helper()
	if !h.wants(event.KindAlert) {
		return
	}
	for i, id := range s.model.alerts() {
		switch i % 4 {
		case 1:
			s.set(h, id, "acknowledged", "ann", "looking")
		case 2:
			s.set(h, id, "closed", "bob", "")
		}
	}
}

func (s *storeSuite) life(tb TB) {
	tb.Helper()
	h := s.begin(tb)
	if !h.wants(event.KindAlert) {
		return
	}
	id := textKey(event.KindAlert, 0)
	for i, step := range [][3]string{
		{"acknowledged", "ann", "who is \"203.0.113.9\"? Gr\u00fc\u00dfe"},
		{"closed", "bob", "known scanner\nof our own"},
		{"open", "", "it came back"},
		{"closed", "bob", ""},
		{"closed", "ann", strings.Repeat("n", 4000)},
	} {
		named := id
		if i == 1 {
			named = id[:31] + id[31:] // the whole
		}
		s.set(h, named, step[0], step[1], step[2])
		s.checkLife(h, id)
	}
	r, err := pb.NewSinkClient(h.conn).Update(tb.Context(), &pb.UpdateRequest{AlertId: "00000000000000000000000000000000", State: "closed", Actor: "ann"})
	if err != nil || r.GetFound() {
		tb.Errorf("an id that no alert has: got %v and %v, want not found and no error", r.GetFound(), err)
	}
	// The beginning of an id does, while only one alert begins so.
	r, err = pb.NewSinkClient(h.conn).Update(tb.Context(), &pb.UpdateRequest{AlertId: textKey(event.KindAlert, 1)[:16], State: "acknowledged", Actor: "ann"})
	if err != nil || !r.GetFound() {
		tb.Fatalf("the first 16 digits of an id: got %v and %v, want found", r.GetFound(), err)
	}
	k := s.model.byKey[textKey(event.KindAlert, 1)]
	k.state = "acknowledged"
	k.history = slices.Insert(k.history, 0, change{state: k.state, actor: "ann", from: time.Now().Add(-patience), to: time.Now()})
	s.checkLife(h, textKey(event.KindAlert, 1))
	for _, state := range []string{"open", "acknowledged", "closed"} {
		s.answer(h, &pb.QueryRequest{Kind: pb.Kind_KIND_ALERT, State: state})
	}
	for i := range 10 {
		s.set(h, textKey(event.KindAlert, 2), []string{"closed", "open"}[i%2], "bot", fmt.Sprint(i))
	}
	s.checkLife(h, textKey(event.KindAlert, 2))
}

// checkLife compares the state and the history of an alert.
func (s *storeSuite) checkLife(h *Host, id string) {
	h.tb.Helper()
	got, err := h.ask(&pb.QueryRequest{Kind: pb.Kind_KIND_ALERT, Id: id})
	if err != nil || len(got) != 1 {
		h.tb.Fatalf("alert %s: got %d and %v, want it", id, len(got), err)
	}
	k, a := s.model.byKey[id], got[0].Alerts[0]
	if a.State != k.state || len(a.History) != len(k.history) {
		h.tb.Fatalf("alert %s is %q with %d changes, want %q with %d", id, a.State, len(a.History), k.state, len(k.history))
	}
	for i, want := range k.history {
		c := a.History[i]
		at := time.Unix(0, int64(c.Time))
		// The clock of the store need not be that of this process.
		const apart = time.Hour
		if c.State != want.state || c.Actor != want.actor || c.Note != want.note || at.Before(want.from.Add(-apart)) || at.After(want.to.Add(apart)) {
			h.tb.Errorf("alert %s: change %d is %q by %q at %v, note %.40q; want %q by %q, note %.40q", id, i, c.State, c.Actor, at, c.Note, want.state, want.actor, want.note)
		}
	}
}

// same asks again: every kind of query, not each of them.
func (s *storeSuite) same(h *Host) {
	h.tb.Helper()
	for i, q := range s.model.queries() {
		if i%3 == 0 {
			s.answers[sketch(q)] = s.answer(h, q)
		}
	}
	for _, id := range s.model.alerts() {
		s.checkLife(h, id)
	}
}

func (s *storeSuite) again(tb TB) {
	tb.Helper()
	h := s.begin(tb)
	s.same(h)
	before := s.answers
	s.answers = make(map[string][]string)
	s.put(h, s.model.batches...)
	s.put(h, s.model.batches...)
	s.same(h)
	for query, keys := range s.answers {
		if !slices.Equal(keys, before[query]) {
			tb.Errorf("query %s: the order is another after the redelivery", query)
		}
	}
}

func (s *storeSuite) concurrent(tb TB) {
	tb.Helper()
	h := s.begin(tb)
	const rounds, each = 25, 20
	base := testTime.AddDate(0, 1, 0)
	kinds := slices.DeleteFunc([]event.Kind{event.KindLog, event.KindAlert}, func(k event.Kind) bool { return !h.wants(k) })
	var mu sync.Mutex
	written := 0 // durable, of each kind
	var wg sync.WaitGroup
	done := make(chan struct{})
	for _, kind := range kinds {
		wg.Go(func() {
			for more := true; more; {
				select {
				case <-done:
					more = false // once more, with all of it
				default:
				}
				mu.Lock()
				least := written
				mu.Unlock()
				got, err := h.ask(&pb.QueryRequest{Kind: pb.Kind(kind), Since: uint64(base.UnixNano()), Until: uint64(base.Add(time.Hour).UnixNano())})
				if err != nil {
					tb.Errorf("query beside writes: %s", explain(err))
					return
				}
				last, seen := int64(1<<63-1), make(map[string]bool)
				for _, b := range got {
					at, key := identity(b)
					if at > last || seen[key] {
						tb.Errorf("query beside writes: %s comes twice, or after an older one", key)
					}
					last, seen[key] = at, true
				}
				if len(got) < least || len(got) > rounds*each {
					tb.Errorf("query beside writes: got %d of kind %v; %d were durable before it, %d are written in all", len(got), kind, least, rounds*each)
				}
			}
		})
	}
	for round := range rounds {
		batches := busyBatches(base, round, each)
		s.model.add(batches...)
		s.put(h, batches...)
		mu.Lock()
		written += each
		mu.Unlock()
	}
	close(done)
	wg.Wait()
}

func (s *storeSuite) restarts(tb TB) {
	tb.Helper()
	h := s.begin(tb)
	s.same(h)
	before := s.answers
	h.Kill()
	s.answers = make(map[string][]string)
	h = s.begin(tb)
	s.same(h)
	for query, keys := range s.answers {
		if !slices.Equal(keys, before[query]) {
			tb.Errorf("query %s: the order is another after the restart", query)
		}
	}
	if why := h.Health(); why != "" {
		tb.Errorf("after the restart it is not healthy: %s", why)
	}
}
