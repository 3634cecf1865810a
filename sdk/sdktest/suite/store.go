package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// StoreConfig says how to check a sink that gives events back.
type StoreConfig struct {
	// Host is what the plugin is told in every life. Host.Section names a place that is
	// empty at first and is kept from one life to the next, has the plugin keep every
	// kind of event that it can keep, and none of them for a limited time alone.
	Host HostConfig
}

// storeSuite is what the checks of a store share: each writes more into the same place.
type storeSuite struct {
	target Target
	StoreConfig

	model   model
	answers map[string][]string // what the restart has to give again, by query
}

// Store returns the checks of a sink.Querier: what it stored it gives back whole, and it
// answers queries as sdk.Query says, so that commands show the same over every store.
// The checks are one story: they run in order, in one place.
func Store(target Target, c StoreConfig) []Check {
	s := &storeSuite{target: target, StoreConfig: c}
	mend := "see sdk.Query and sdk.Querier for what each condition means"
	return []Check{
		{
			Name: "store.lossless", Title: "gives back what it was given",
			Wanted: "every member of every event comes back as it was: also NUL, absent values, 64 KiB of text, and times of three centuries ago",
			Mend:   "store texts as bytes where the engine knows no NUL, times in nanoseconds, and what has no column in a document",
			run:    applied(s.lossless),
		},
		{
			Name: "store.filter", Title: "finds what matches, and nothing else",
			Wanted: "conditions select by id and prefix, time, severity, state, fields and entities, all at once, the newest first", Mend: mend,
			run: applied(s.filters),
		},
		{
			Name: "store.pages", Title: "pages are parts of one answer",
			Wanted: "skip and limit cut one order that does not change, also among events of one time",
			Mend:   "order by time and, within it, by something unique; apply skip and limit after every condition",
			run:    applied(s.pages),
		},
		{
			Name: "store.text", Title: "finds words and phrases",
			Wanted: "text finds words, phrases and beginnings of words without regard to case and accents, and no character of it is an operator",
			Mend:   "use package sdk/search for both the stored texts and the query",
			run:    applied(s.text),
		},
		{
			Name: "store.refuse", Title: "refuses what is no query",
			Wanted: "a query that cannot be answered is InvalidArgument, and says what is wrong with it",
			Mend:   "wrap sdk.ErrQuery",
			run:    applied(s.refuses),
		},
		{
			Name: "store.life", Title: "keeps the life of an alert",
			Wanted: "an alert is open, acknowledged, closed, and opened again, with who did it, when and why, the newest first; unknown ids are not found",
			Mend:   "append each change to a history beside the alert, and give it with the alert",
			run:    applied(s.life),
		},
		{
			Name: "store.again", Title: "a batch that comes again changes nothing",
			Wanted: "after the redelivery of all batches every query answers as before, and the states of alerts are kept",
			Mend:   "leave a row alone that is there already, by stream and sequence, by alert id, by action id, outcome and time",
			run:    applied(s.again),
		},
		{
			Name: "store.concurrent", Title: "answers while it writes",
			Wanted: "queries that run beside writes give whole events, in order, none twice, and all that was durable before",
			Mend:   "read from a snapshot, and page by the last row that was read rather than by counting",
			run:    applied(s.concurrent),
		},
		{
			Name: "store.restart", Title: "keeps all over a restart",
			Wanted: "after the plugin was killed and started again every query answers as before",
			Mend:   "make a batch durable before it is acknowledged as durable, and a change of an alert before Update answers",
			run:    applied(s.restarts),
		},
	}
}

func (s *storeSuite) begin(tb TB) *Host {
	tb.Helper()
	h := Start(tb, s.target, s.Host)
	h.hasKind("sink")
	return h
}

// put writes batches and waits until they are durable.
func (s *storeSuite) put(h *Host, batches ...Batch) {
	h.tb.Helper()
	l := h.Link("sink", nil)
	var last uint64
	for _, b := range batches {
		if h.wants(event.Kind(b.kind)) {
			last = l.Send(b)
		}
	}
	if last == 0 {
		h.tb.Fatalf("the sink wants no kind of event")
	}
	l.Durable(last)
	if err := l.Close(); err != nil {
		h.tb.Errorf("end of the link: %v", err)
	}
}

// ask returns the answer to a query, one event a batch.
func (h *Host) ask(q *pb.QueryRequest) ([]*pb.Batch, error) {
	ctx, cancel := context.WithTimeout(h.tb.Context(), patience)
	defer cancel()
	stream, err := pb.NewSinkClient(h.conn).Query(ctx, q)
	if err != nil {
		return nil, err
	}
	var out []*pb.Batch
	for {
		b, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if err := b.Unpack(); err != nil {
			return out, fmt.Errorf("the answer cannot be read: %w", err)
		}
		out = append(out, b)
	}
}

// answer asks and compares with what the model says; it returns the keys in order.
func (s *storeSuite) answer(h *Host, q *pb.QueryRequest) []string {
	h.tb.Helper()
	got, err := h.ask(q)
	if err != nil {
		h.tb.Errorf("query %s: %s", sketch(q), explain(err))
		return nil
	}
	keys := make([]string, len(got))
	last := int64(1<<63 - 1)
	for i, b := range got {
		at, key := identity(b)
		keys[i] = key
		if at > last {
			h.tb.Errorf("query %s: the event at %d, %s, is newer than the one before it", sketch(q), i, key)
		}
		last = at
	}
	want := s.model.find(q)
	if sorted := slices.Sorted(slices.Values(keys)); !slices.Equal(sorted, want) {
		h.tb.Errorf("query %s: got %d events, want %d: %s", sketch(q), len(keys), len(want), compare(want, sorted))
	}
	return keys
}

func (s *storeSuite) lossless(tb TB) {
	tb.Helper()
	h := s.begin(tb)
	s.model.wants = h.wants
	s.model.add(storeBatches()...)
	s.put(h, s.model.batches...)
	for _, kind := range storeKinds {
		if !h.wants(kind) {
			continue
		}
		got, err := h.ask(&pb.QueryRequest{Kind: pb.Kind(kind)})
		if err != nil {
			tb.Fatalf("query all of kind %v: %s", kind, explain(err))
		}
		seen := make(map[string]bool)
		for _, b := range got {
			_, key := identity(b)
			want := s.model.byKey[key]
			switch {
			case want == nil:
				tb.Errorf("it gives %s, which was never written", key)
			case seen[key]:
				tb.Errorf("it gives %s twice", key)
			case !proto.Equal(plain(b), want.batch):
				tb.Errorf("%s comes back otherwise: %s", key, difference(want.batch, plain(b)))
			}
			seen[key] = true
		}
		if want := s.model.find(&pb.QueryRequest{Kind: pb.Kind(kind)}); len(seen) != len(want) {
			tb.Errorf("of kind %v it gives %d events, %d were written: %s", kind, len(seen), len(want), compare(want, slices.Sorted(slices.Values(idsOf(seen)))))
		}
	}
}

func (s *storeSuite) filters(tb TB) {
	tb.Helper()
	h := s.begin(tb)
	s.setStates(h)
	s.answers = make(map[string][]string)
	for _, q := range s.model.queries() {
		s.answers[sketch(q)] = s.answer(h, q)
	}
}

func (s *storeSuite) pages(tb TB) {
	tb.Helper()
	h := s.begin(tb)
	for i, q := range s.model.queries() {
		whole := s.answers[sketch(q)]
		if i%3 > 0 && len(whole) < 10 {
			continue
		}
		for _, cut := range [][2]int{{0, 1}, {1, 1}, {0, 7}, {3, 5}, {len(whole), 3}, {len(whole) - 1, 3}} {
			page := proto.CloneOf(q)
			page.Skip, page.Limit = uint32(max(cut[0], 0)), uint32(cut[1])
			got, err := h.ask(page)
			if err != nil {
				tb.Errorf("query %s: %s", sketch(page), explain(err))
				continue
			}
			from := min(int(page.Skip), len(whole))
			want := whole[from:min(from+cut[1], len(whole))]
			keys := make([]string, len(got))
			for i, b := range got {
				_, keys[i] = identity(b)
			}
			if !slices.Equal(keys, want) {
				tb.Errorf("query %s: got %v, want %v of the whole answer", sketch(page), keys, want)
			}
		}
	}
}

func (s *storeSuite) text(tb TB) {
	tb.Helper()
	h := s.begin(tb)
	for _, c := range textCases() {
		if !h.wants(c.kind) {
			continue
		}
		q := &pb.QueryRequest{Kind: pb.Kind(c.kind), Text: c.text}
		if c.more != nil {
			c.more(q)
		}
		got, err := h.ask(q)
		if err != nil {
			tb.Errorf("query %s: %s", sketch(q), explain(err))
			continue
		}
		keys := make([]string, len(got))
		for i, b := range got {
			_, keys[i] = identity(b)
		}
		want := make([]string, len(c.want))
		for i, n := range c.want {
			want[i] = textKey(c.kind, n)
		}
		if !slices.Equal(keys, want) {
			tb.Errorf("query %s: got %v, want %v", sketch(q), keys, want)
		}
	}
}

func (s *storeSuite) refuses(tb TB) {
	tb.Helper()
	h := s.begin(tb)
	for _, q := range []*pb.QueryRequest{
		{Kind: pb.Kind_KIND_ALERT, Id: "abc"},
		{Kind: pb.Kind_KIND_ALERT, State: "odd"},
		{Kind: pb.Kind_KIND_RAW},
		{Kind: pb.Kind_KIND_LOG, Id: "not hexadecimal"},
		{Kind: pb.Kind_KIND_LOG, Id: "0123456789-1"},
		{Kind: pb.Kind_KIND_LOG, Id: "00000000000000001"},
		{Kind: pb.Kind_KIND_LOG, Text: "--- ( *"},
		{Kind: pb.Kind_KIND_ALERT, Text: strings.Repeat("x ", 5000)},
		{Kind: pb.Kind_KIND_ACTION, Text: "word"},
		{Kind: pb.Kind_KIND_INVENTORY, Equal: []*pb.Field{{Key: "no_such_field", Value: "x"}}},
		{Kind: pb.Kind_KIND_INVENTORY, Equal: []*pb.Field{{Key: "in_use", Value: "perhaps"}}},
	} {
		if got, err := h.ask(q); status.Code(err) != codes.InvalidArgument {
			tb.Errorf("query %s: got %d events and %v, want InvalidArgument", sketch(q), len(got), err)
		}
	}
	client := pb.NewSinkClient(h.conn)
	for _, u := range []*pb.UpdateRequest{
		{AlertId: "abc", State: "closed"},
		{AlertId: textKey(event.KindAlert, 0), State: "gone"},
	} {
		if _, err := client.Update(tb.Context(), u); status.Code(err) != codes.InvalidArgument {
			tb.Errorf("state %q of alert %s: got %v, want InvalidArgument", u.State, u.AlertId, err)
		}
	}
}
