package respond

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/action"
	"github.com/ironpost/ironpost/host/internal/breaker"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/expiry"
	"github.com/ironpost/ironpost/host/internal/respond/rail"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Times and bounds that hold everywhere.
const (
	// DefaultTTL is how long a block lasts when nobody says.
	DefaultTTL = time.Hour
	// DefaultMaxTTL is the longest that a block lasts when the policy names none.
	DefaultMaxTTL = 24 * time.Hour
	// MaxBlocks bounds the block list, beside the lists that were imported.
	MaxBlocks = 131072
	// maxHeard bounds the networks of lists of which alerts are counted.
	maxHeard = 4096
	// MaxAllows bounds the operator's allow list.
	MaxAllows = 65536
	// railAge is for how long what was found of the system is good for decisions.
	railAge = time.Second
)

// Finder finds what the host cannot do without: a rail.Finder.
type Finder interface {
	Find() ([]rail.Rail, error)
}

// Policy is what the configuration says; it may change while the host runs.
type Policy struct {
	// Mode is the mode of the file, environment or defaults.
	Mode config.Mode
	// Respond is the section [respond].
	Respond config.Respond
	// Pass is [ebpf] allow.
	Pass []netip.Prefix
}

// Config says what a Responder works with. Journal and Store are required.
type Config struct {
	Logger  hclog.Logger
	Journal action.Journal
	Store   *state.Store
	// History knows what the journal held at the start; nil is nothing.
	History *History
	Policy  Policy
	// Override is the mode of the command line: it holds until the mode is set
	// at run time or the host ends. "" is none.
	Override config.Mode
	// Finder finds rails of the system; nil finds none.
	Finder Finder
	// Clock is expiry.SystemClock's when its functions are nil.
	Clock expiry.Clock
	// HostID names this host for good to others that share decisions, "" shares none;
	// HostName is what it is called.
	HostID, HostName string
}

// Responder decides about blocks and keeps them.
type Responder struct {
	log       hclog.Logger
	journal   action.Journal
	finder    Finder
	clock     expiry.Clock
	history   *History
	maxBlocks int // MaxBlocks, but for tests
	hostID    string
	host      string // as other hosts show it; it ends with a part of hostID

	blockTable *state.Table[entry]
	allowTable *state.Table[entry]
	listTable  *state.Table[listDoc]
	ruleTable  *state.Table[packetRule]
	blobs      *state.Blobs // of the networks of lists
	modeTable  *state.Table[modeDoc]
	takenTable *state.Table[taken]
	tombTable  *state.Table[expiry.Stamp]

	listing  sync.Mutex // one change of the lists at a time; taken before mu
	deciding sync.Mutex // one decision at a time; taken before mu
	looking  sync.Mutex // one look at the system at a time; taken before mu

	mu       sync.Mutex
	policy   Policy
	mode     modeDoc
	fellBack bool // at the start, and not yet said
	blocks   map[netip.Prefix]*entry
	lists    map[string]*blockList   // changes while listing is held too
	heard    map[netip.Prefix]uint64 // alerts about networks of lists, as entry.alerts
	coming   *blockList              // is put in force, and will be in lists; nil when none is
	allows   map[netip.Prefix]*entry
	rules    map[string]*packetRule // by name
	taken    map[string]*taken      // decisions of other hosts, by id
	takenOf  map[netip.Prefix][]string
	takenAt  map[netip.Prefix][]*entry // those that block
	tombs    map[string]expiry.Stamp   // of those that were taken back here
	shares   shares
	filters  map[string]*attached
	breakers breakers
	refusals breaker.Breaker // of recorded refusals; only its count is used
	notes    *expiry.Notes
	counts   map[string]uint64

	system   []rail.Rail // as last found
	looked   time.Duration
	findErr  string
	never    map[netip.Prefix]ban
	passed   []netip.Prefix // what every filter allows, sorted
	problems []string       // of the start, for Warnings

	wake chan struct{}
}

// ban says why an address is never blocked.
type ban struct {
	rail   string // a name of package rail, RailAllow or RailProxy
	source string
}

// The rails beside those of package rail.
const (
	// RailAllow is an entry of an allow list.
	RailAllow = "allow_list"
	// RailProxy is a trusted proxy.
	RailProxy = "trusted_proxy"
)

// New loads what an earlier life of the host kept. It begins nothing; blocks
// are in force from Attach on, and expire while Run runs.
func New(c Config) (*Responder, error) {
	if c.Journal == nil || c.Store == nil {
		return nil, errors.New("a responder needs a journal and a store")
	}
	r := &Responder{
		log: c.Logger, journal: c.Journal, finder: c.Finder, clock: c.Clock, history: c.History, maxBlocks: MaxBlocks,
		policy:   c.Policy,
		hostID:   c.HostID,
		host:     c.HostName + ownSuffix(c.HostID),
		taken:    make(map[string]*taken),
		takenOf:  make(map[netip.Prefix][]string),
		takenAt:  make(map[netip.Prefix][]*entry),
		tombs:    make(map[string]expiry.Stamp),
		shares:   shares{wake: make(chan struct{}, 1)},
		blocks:   make(map[netip.Prefix]*entry),
		lists:    make(map[string]*blockList),
		heard:    make(map[netip.Prefix]uint64),
		allows:   make(map[netip.Prefix]*entry),
		rules:    make(map[string]*packetRule),
		filters:  make(map[string]*attached),
		counts:   make(map[string]uint64),
		breakers: newBreakers(),
		wake:     make(chan struct{}, 1),
	}
	if r.log == nil {
		r.log = hclog.NewNullLogger()
	}
	if r.history == nil {
		r.history = &History{}
	}
	if r.clock.Wall == nil || r.clock.Boot == nil {
		var err error
		if r.clock, err = expiry.SystemClock(); err != nil {
			return nil, err
		}
	}
	if err := r.open(c.Store); err != nil {
		return nil, fmt.Errorf("open the block list: %w", err)
	}
	if err := r.loadMode(c.Override); err != nil {
		return nil, err
	}
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rebuild()
	return r, nil
}

const tickKey = "tick"

// Run lets things expire until ctx is done, looks at the system again, mends
// filters that failed, and falls back to the mode before when a change is not
// confirmed. It returns nil then.
func (r *Responder) Run(ctx context.Context) error {
	r.sayFallBack()
	r.reconcile(ctx)
	for ctx.Err() == nil {
		r.look()
		timer := time.NewTimer(r.step())
		select {
		case <-timer.C:
		case <-r.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.notes.Note(true); err != nil {
		r.log.Error("cannot note the clocks", "error", err)
	}
	return nil
}

// nudge makes Run look at what expires next.
func (r *Responder) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// step does what is due and returns how long nothing else will be.
func (r *Responder) step() time.Duration {
	listed := r.expireLists()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.notes.Fresh(); err != nil {
		r.log.Error("cannot note the clocks", "error", err)
	}
	wait := min(r.notes.Due(), listed, r.expire(), r.expireTaken(), r.expireRules(), r.expireMode())
	now := r.clock.Boot()
	r.closeBreakers(now)
	for _, b := range r.breakers {
		if until, open := b.Open(); open {
			wait = min(wait, until-now)
		}
	}
	return max(min(wait, r.mend()), time.Millisecond)
}

// Warnings returns what stands in the way of full effect, one sentence each.
func (r *Responder) Warnings() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.problems)
	if r.findErr != "" {
		out = append(out, "Some addresses that must not be blocked may be unknown: "+r.findErr)
	}
	for _, action := range slices.Sorted(maps.Keys(r.breakers)) {
		if _, open := r.breakers[action].Open(); open {
			out = append(out, fmt.Sprintf("The breaker is open: enforcers proposed too many %ss, and none is made for now.", action))
		}
	}
	if p := r.mode.Pending; p != nil {
		out = append(out, fmt.Sprintf("The mode %s is not confirmed and falls back to %s.", r.mode.Mode, r.mode.Previous))
	}
	for _, name := range slices.Sorted(maps.Keys(r.filters)) {
		if err := r.filters[name].failed; err != nil {
			out = append(out, fmt.Sprintf("The packet filter on %s does not follow the lists: %v", name, err))
		}
	}
	return out
}

// Counts returns how many intents met which fate, by outcome and code, sorted.
func (r *Responder) Counts() []*pb.Count {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*pb.Count, 0, len(r.counts))
	for _, name := range slices.Sorted(maps.Keys(r.counts)) {
		out = append(out, &pb.Count{Name: name, Value: r.counts[name]})
	}
	return out
}

func (r *Responder) count(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[name]++
}
