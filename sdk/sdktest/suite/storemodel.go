package suite

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// storeKinds are the kinds that stores keep.
var storeKinds = [...]event.Kind{event.KindLog, event.KindPacket, event.KindAlert, event.KindAction, event.KindInventory}

// kept is one event that was written.
type kept struct {
	kind     event.Kind
	key, id  string
	time     int64
	severity pb.Severity
	batch    *pb.Batch // as a query gives it
	// values are those of fields that Query.Equal can name; any of them will do.
	values  map[string][]string
	state   string // of an alert
	history []change
}

// change is one change of an alert's state, made between two times.
type change struct {
	state, actor, note string
	from, to           time.Time
}

// model is a store that answers queries by looking at everything.
type model struct {
	wants   func(event.Kind) bool
	batches []Batch
	events  []*kept
	byKey   map[string]*kept
}

// add takes batches over. What is known already stays as it is.
func (m *model) add(batches ...Batch) {
	if m.byKey == nil {
		m.byKey = make(map[string]*kept)
	}
	for _, b := range batches {
		if !m.wants(event.Kind(b.kind)) {
			continue
		}
		if len(m.batches) < maxRedelivered {
			m.batches = append(m.batches, b)
		}
		for _, single := range singles(b) {
			k := keptOf(single)
			if m.byKey[k.key] == nil {
				m.events = append(m.events, k)
				m.byKey[k.key] = k
			}
		}
	}
}

// maxRedelivered is how many batches are kept to be sent again.
const maxRedelivered = 100

// singles returns each record of a batch as a query gives it.
func singles(b Batch) []*pb.Batch {
	var all pb.Batch
	if err := proto.Unmarshal(b.spelledOut().payload, &all); err != nil {
		panic("suite: a batch of its own cannot be read: " + err.Error())
	}
	var out []*pb.Batch
	single := func(offset *uint32) *pb.Batch {
		s := &pb.Batch{
			Kind: b.kind, Count: 1, Stream: b.Stream.ID, FirstSequence: b.First + uint64(*offset), Provenance: pb.Provenance(b.Stream.Provenance),
			Origin: &pb.Origin{Name: b.Stream.Name, Plugin: b.Stream.Plugin, Format: b.Stream.Format, Peer: b.Stream.Peer, TimeZone: b.Stream.TimeZone},
		}
		*offset = 0
		out = append(out, s)
		return s
	}
	for _, e := range all.Logs {
		single(&e.Offset).Logs = []*pb.LogEvent{e}
	}
	for _, e := range all.Packets {
		single(&e.Offset).Packets = []*pb.PacketEvent{e}
	}
	for _, e := range all.Alerts {
		single(&e.Offset).Alerts = []*pb.AlertEvent{e}
	}
	for _, e := range all.Actions {
		single(&e.Offset).Actions = []*pb.ActionEvent{e}
	}
	for _, e := range all.Inventory {
		single(&e.Offset).Inventory = []*pb.InventoryEvent{e}
	}
	return out
}

// plain takes out of an answer what is not the event's own.
func plain(b *pb.Batch) *pb.Batch {
	c := proto.CloneOf(b)
	for _, a := range c.Alerts {
		a.State, a.History = "", nil
	}
	return c
}

// identity returns the time of the event of an answer, and what tells it from others.
func identity(b *pb.Batch) (at int64, key string) {
	stream := event.ID{Stream: b.Stream, Sequence: b.FirstSequence}.String()
	switch {
	case len(b.Logs) == 1:
		return int64(b.Logs[0].Time), "log " + stream
	case len(b.Packets) == 1:
		return int64(b.Packets[0].Time), "packet " + stream
	case len(b.Alerts) == 1:
		return int64(b.Alerts[0].Time), b.Alerts[0].Id
	case len(b.Actions) == 1:
		a := b.Actions[0]
		return int64(a.Time), fmt.Sprintf("action %s %d %d", a.Id, a.Outcome, int64(a.Time))
	case len(b.Inventory) == 1:
		return int64(b.Inventory[0].Time), "package " + b.Inventory[0].Id
	}
	return 0, fmt.Sprintf("an answer of %d events of kind %v", b.Count, b.Kind)
}

func keptOf(b *pb.Batch) *kept {
	k := &kept{kind: event.Kind(b.Kind), batch: b, values: make(map[string][]string), id: event.ID{Stream: b.Stream, Sequence: b.FirstSequence}.String()}
	k.time, k.key = identity(b)
	has := func(pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			k.values[pairs[i]] = append(k.values[pairs[i]], pairs[i+1])
		}
	}
	first := func(key, value string) {
		if _, known := k.values[key]; !known {
			has(key, value)
		}
	}
	switch k.kind {
	case event.KindLog:
		e := b.Logs[0]
		k.severity = e.Severity
		for key, value := range map[string]string{"host": e.Host, "process": e.Process, "message": e.Message, "reason": e.Reason, "raw": string(e.Raw)} {
			if value != "" {
				has(key, value)
			} else {
				k.values[key] = nil // known to be absent, whatever the fields say
			}
		}
		for _, f := range e.Fields {
			first(f.Key, f.Value)
		}
	case event.KindPacket:
		p := b.Packets[0]
		has("interface", p.Interface, "scope", event.Scope(p.Scope).String(), "dst_port", strconv.Itoa(int(p.DestinationPort)))
		for key, bytes := range map[string][]byte{"src_ip": p.Source, "dst_ip": p.Destination} {
			if addr, ok := netip.AddrFromSlice(bytes); ok {
				has(key, addr.Unmap().String())
			}
		}
	case event.KindAlert:
		a := b.Alerts[0]
		k.id, k.severity, k.state = a.Id, a.Severity, "open"
		has("id", a.Id, "rule_id", a.RuleId, "detector", a.Detector, "group", a.Group, "trace_id", fmt.Sprintf("%x", a.TraceId))
		for _, e := range a.Entities {
			has(e.Key, e.Value)
		}
	case event.KindAction:
		a := b.Actions[0]
		k.id = a.Id
		has("id", a.Id, "alert_id", a.AlertId, "enforcer", a.Enforcer, "action", a.Action, "target", a.Target, "mode", a.Mode,
			"outcome", event.Outcome(a.Outcome).String(), "trace_id", fmt.Sprintf("%x", a.TraceId))
		for _, d := range a.Details {
			first(d.Key, d.Value)
		}
	case event.KindInventory:
		e := b.Inventory[0]
		k.id = e.Id
		has("id", e.Id, "package", e.Name, "version", e.Version, "ecosystem", e.Ecosystem, "purl", e.Purl, "in_use", strconv.FormatBool(e.InUse),
			"target", e.Target, "target", e.TargetName)
		if container, ok := strings.CutPrefix(e.Target, "container:"); ok {
			has("target", container, "target", container[:12])
		}
		for _, f := range e.Findings {
			k.severity = max(k.severity, f.Severity)
			has("cve", f.Id)
			for _, name := range f.Aliases {
				has("cve", name)
			}
		}
	}
	return k
}

// find returns the keys of the events that a query without bounds selects, sorted. It
// knows no text.
func (m *model) find(q *pb.QueryRequest) []string {
	var keys []string
	for _, k := range m.events {
		if k.matches(q) {
			keys = append(keys, k.key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (k *kept) matches(q *pb.QueryRequest) bool {
	since, until := int64(q.Since), int64(q.Until)
	switch {
	case k.kind != event.Kind(q.Kind), !strings.HasPrefix(k.id, q.Id):
		return false
	case strings.Contains(q.Id, "-") && k.id != q.Id: // a sequence is whole
		return false
	case since != 0 && k.time < since, until != 0 && k.time > until:
		return false
	case q.State != "" && k.kind == event.KindAlert && k.state != q.State:
		return false
	case k.kind != event.KindPacket && k.kind != event.KindAction && k.severity < q.MinSeverity:
		return false
	}
	for _, f := range q.Equal {
		if !slices.Contains(k.values[f.Key], f.Value) {
			return false
		}
	}
	return true
}

// alerts returns the ids of all alerts, sorted.
func (m *model) alerts() []string { return m.find(&pb.QueryRequest{Kind: pb.Kind_KIND_ALERT}) }

// queries are those that every check asks: each condition by itself and some together.
func (m *model) queries() []*pb.QueryRequest {
	at := func(n int) uint64 { return uint64(storeTime(n).UnixNano()) }
	var out []*pb.QueryRequest
	for _, kind := range storeKinds {
		if !m.wants(kind) {
			continue
		}
		add := func(q *pb.QueryRequest) {
			q.Kind = pb.Kind(kind)
			out = append(out, q)
		}
		add(&pb.QueryRequest{})
		add(&pb.QueryRequest{Since: at(5)})
		add(&pb.QueryRequest{Until: at(5)})
		add(&pb.QueryRequest{Since: at(4), Until: at(9)})
		add(&pb.QueryRequest{Since: at(9), Until: at(4)})
		add(&pb.QueryRequest{Since: 1<<64 - 1e9, Until: 1e9})
		for severity := pb.Severity(1); severity <= 5; severity += 2 {
			add(&pb.QueryRequest{MinSeverity: severity})
		}
		for _, state := range []string{"open", "acknowledged", "closed"} {
			add(&pb.QueryRequest{State: state})
			add(&pb.QueryRequest{State: state, MinSeverity: 3, Since: at(3)})
		}
		ids := make(map[string]bool)
		equal := make(map[event.Field]bool)
		perKey := make(map[string]int)
		for _, k := range m.events {
			if k.kind != kind {
				continue
			}
			if len(ids) < 8 {
				ids[k.id], ids[k.id[:8]], ids[k.id[:15]] = true, true, true
			}
			for _, key := range slices.Sorted(maps.Keys(k.values)) {
				for _, v := range k.values[key] {
					f := event.Field{Key: key, Value: v}
					if known := equal[f]; known || v == "" || len(v) > 200 || perKey[key] == 4 || len(perKey) > 20 || !utf8.ValidString(v) {
						continue
					}
					perKey[key]++
					equal[f] = true
				}
			}
		}
		for id := range ids {
			add(&pb.QueryRequest{Id: id})
		}
		add(&pb.QueryRequest{Id: "fedcba9876"})
		for n, f := range slices.SortedFunc(maps.Keys(equal), func(a, b event.Field) int {
			return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Value, b.Value))
		}) {
			fields := []*pb.Field{{Key: f.Key, Value: f.Value}}
			add(&pb.QueryRequest{Equal: fields})
			switch n % 5 {
			case 0:
				add(&pb.QueryRequest{Equal: fields, MinSeverity: 3, Since: at(2), Until: at(12)})
			case 1:
				add(&pb.QueryRequest{Equal: fields, State: "open"})
			}
		}
		for _, pair := range storePairs[kind] {
			fields := make([]*pb.Field, 0, 2)
			for i := 0; i < len(pair); i += 2 {
				fields = append(fields, &pb.Field{Key: pair[i], Value: pair[i+1]})
			}
			add(&pb.QueryRequest{Equal: fields})
			add(&pb.QueryRequest{Equal: fields, Since: at(3), State: "open"})
		}
	}
	// Each run asks the same.
	slices.SortFunc(out, func(a, b *pb.QueryRequest) int { return strings.Compare(sketch(a), sketch(b)) })
	return slices.CompactFunc(out, func(a, b *pb.QueryRequest) bool { return sketch(a) == sketch(b) })
}

// sketch says what a query asks for.
func sketch(q *pb.QueryRequest) string {
	var text strings.Builder
	text.WriteString(event.Kind(q.Kind).String())
	add := func(is bool, format string, args ...any) {
		if is {
			fmt.Fprintf(&text, " "+format, args...)
		}
	}
	add(q.Id != "", "id=%.40s", q.Id)
	add(q.Since != 0, "since=%d", int64(q.Since))
	add(q.Until != 0, "until=%d", int64(q.Until))
	add(q.MinSeverity != 0, "severity>=%d", q.MinSeverity)
	add(q.State != "", "state=%s", q.State)
	for _, f := range q.Equal {
		add(true, "%q=%q", f.Key, f.Value)
	}
	add(q.Text != "", "text=%.60q", q.Text)
	add(q.Skip != 0, "skip=%d", q.Skip)
	add(q.Limit != 0, "limit=%d", q.Limit)
	return text.String()
}

// difference shows where two events begin to differ.
func difference(want, got *pb.Batch) string {
	w, g := (prototext.MarshalOptions{}).Format(want), (prototext.MarshalOptions{}).Format(got)
	n := 0
	for n < len(w) && n < len(g) && w[n] == g[n] {
		n++
	}
	const around = 60
	part := func(s string) string {
		return strconv.Quote(s[max(0, min(n, len(s))-around):min(len(s), n+around)])
	}
	return fmt.Sprintf("want ...%s, got ...%s", part(w), part(g))
}

// The times that fit in 64 bits of nanoseconds, as far as the wire carries them.
var (
	earliest = time.Unix(-(math.MaxInt64/1_000_000_000 - 1), 1).UTC()
	latest   = time.Unix(math.MaxInt64/1_000_000_000-1, 999_999_999).UTC()
)
