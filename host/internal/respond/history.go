package respond

import (
	"container/list"
	"net/netip"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/action"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// The bounds of a History.
const (
	// MaxAlerts is how many of the newest alerts can be answered.
	MaxAlerts = 4096
	// MaxDecided is how many of the newest intents are known to be decided.
	MaxDecided = 65536
	// maxPlanned bounds the intents without an outcome; one is decided at a time.
	maxPlanned = 1024
	// maxSources bounds the source addresses that are kept of an alert.
	maxSources = 16
)

// History is what the host knows of alerts and intents. It is filled from the
// journal by Seed, and belongs to the Responder from New on. The zero value is
// ready; it is safe for concurrent use.
type History struct {
	mu      sync.Mutex
	alerts  map[string]*list.Element // of *alert, by id
	order   list.List                // newest alert first
	decided map[string]bool
	oldest  []string // the keys of decided, in a ring
	at      int
	planned map[string]*pb.ActionEvent
}

// alert is what is kept of an alert: what an answer to it is checked against.
type alert struct {
	id         string
	trace      []byte
	sources    []string // of the entity src_ip, as they are written
	containers []string // of the entity container_id
	entities   map[string]bool
	pairs      map[string]bool // "key=value" of each
	evidence   pb.Evidence
	provenance pb.Provenance
	peer       string
	packets    []netip.Addr // the sources of the packets, when it cites packets alone
	proxies    []string
	intents    int // proposed about it
}

// Seed learns from an entry of the journal; the visit of state.OpenJournal. An
// entry of another kind, or one that cannot be read, teaches nothing.
func (h *History) Seed(e state.Entry) {
	switch pb.Kind(e.Kind) {
	case pb.Kind_KIND_ALERT:
		var a pb.AlertEvent
		if proto.Unmarshal(e.Data, &a) == nil {
			h.remember(&a)
		}
	case pb.Kind_KIND_ACTION:
		var a pb.ActionEvent
		if proto.Unmarshal(e.Data, &a) == nil && own(a.Action) {
			h.decide(&a)
		}
	}
}

// own reports whether an action is one of the host's, and none that an enforcer
// carries out itself.
func own(action string) bool {
	switch action {
	case actionBlock, actionLimit, actionMonitor, actionRule, actionNotify, actionMode, actionBreaker:
		return true
	}
	return false
}

// remember keeps an alert; one that is known already is left as it is.
func (h *History) remember(a *pb.AlertEvent) {
	if a.GetId() == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.alerts == nil {
		h.alerts = make(map[string]*list.Element)
	}
	if at := h.alerts[a.Id]; at != nil {
		h.order.MoveToFront(at)
		return
	}
	h.alerts[a.Id] = h.order.PushFront(summary(a))
	if h.order.Len() > MaxAlerts {
		last := h.order.Remove(h.order.Back()).(*alert)
		delete(h.alerts, last.id)
	}
}

func summary(a *pb.AlertEvent) *alert {
	s := &alert{
		id: a.Id, trace: a.TraceId, evidence: a.Evidence, provenance: a.Provenance, peer: a.Peer,
		entities: make(map[string]bool), pairs: make(map[string]bool),
	}
	for _, f := range a.Entities {
		if len(f.Value) > action.MaxText || len(s.entities) >= action.MaxDetails {
			continue
		}
		s.entities[f.Value] = true
		s.pairs[f.Key+"="+f.Value] = true
		if addr, err := netip.ParseAddr(f.Value); err == nil { // an enforcer may write it in another way
			s.entities[addr.Unmap().String()] = true
		}
		switch f.Key {
		case "src_ip":
			if len(s.sources) < maxSources {
				s.sources = append(s.sources, f.Value)
			}
		case "container_id":
			if len(s.containers) < maxSources {
				s.containers = append(s.containers, f.Value)
			}
		case "proxy_ip":
			if len(s.proxies) < maxSources {
				s.proxies = append(s.proxies, f.Value)
			}
		}
	}
	for _, l := range a.Logs {
		for _, f := range l.Fields {
			if f.Key == "proxy_ip" && len(f.Value) <= action.MaxText && len(s.proxies) < maxSources {
				s.proxies = append(s.proxies, f.Value)
			}
		}
	}
	if len(a.Logs) == 0 {
		for _, p := range a.Packets[:min(len(a.Packets), maxSources)] {
			addr, _ := netip.AddrFromSlice(p.Source) // the zero address equals no target
			if p.Scope != pb.PacketScope_PACKET_SCOPE_SOURCE {
				addr = netip.Addr{}
			}
			s.packets = append(s.packets, addr.Unmap())
		}
	}
	return s
}

// find returns a known alert, nil when it is not known, and counts an intent
// about it.
func (h *History) find(id string) (*alert, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.alerts[id]
	if at == nil {
		return nil, 0
	}
	a := at.Value.(*alert)
	a.intents++
	return a, a.intents
}

// About is what answers to an alert are checked against, also by others.
type About struct {
	Trace []byte
	// Containers are the values of the entity container_id, Entities "key=value" of
	// every entity.
	Containers []string
	Entities   map[string]bool
	Provenance pb.Provenance
	Peer       string
}

// About returns what is known of an alert. Its parts must not be changed.
func (r *Responder) About(id string) (About, bool) {
	r.history.mu.Lock()
	defer r.history.mu.Unlock()
	at := r.history.alerts[id]
	if at == nil {
		return About{}, false
	}
	a := at.Value.(*alert)
	return About{Trace: a.trace, Containers: a.containers, Entities: a.pairs, Provenance: a.provenance, Peer: a.peer}, true
}

// key names an intent: what one enforcer calls its intent is nothing to another.
func key(enforcer, id string) string { return enforcer + "\x00" + id }

// decide keeps what became of an intent.
func (h *History) decide(a *pb.ActionEvent) {
	if a.GetId() == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	k := key(a.Enforcer, a.Id)
	if a.Outcome == pb.Outcome_OUTCOME_PLANNED {
		if h.planned == nil {
			h.planned = make(map[string]*pb.ActionEvent)
		}
		if len(h.planned) < maxPlanned {
			h.planned[k] = a
		}
		return
	}
	delete(h.planned, k)
	h.mark(k)
}

// mark notes that an intent is decided; h.mu is held.
func (h *History) mark(k string) {
	if h.decided == nil {
		h.decided = make(map[string]bool)
	}
	if h.decided[k] {
		return
	}
	h.decided[k] = true
	if len(h.oldest) < MaxDecided {
		h.oldest = append(h.oldest, k)
		return
	}
	delete(h.decided, h.oldest[h.at])
	h.oldest[h.at] = k
	h.at = (h.at + 1) % MaxDecided
}

// isDecided reports whether an intent has an outcome.
func (h *History) isDecided(k string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.decided[k]
}

// suppress notes an intent as decided of which nothing was recorded.
func (h *History) suppress(k string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mark(k)
}

// unfinished returns the intents that were planned and have no outcome.
func (h *History) unfinished() []*pb.ActionEvent {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*pb.ActionEvent, 0, len(h.planned))
	for _, a := range h.planned {
		out = append(out, a)
	}
	return out
}
