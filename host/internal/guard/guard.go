package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/action"
	"github.com/ironpost/ironpost/host/internal/breaker"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/expiry"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Times and bounds that hold everywhere.
const (
	// MaxIntents bounds the intents that are not ended.
	MaxIntents = 1024
	// MaxEnded is how many of those that ended are kept, so that none is carried out
	// twice, and how long.
	MaxEnded = 8192
	// inspectEvery is how often what is in effect is inspected when nobody reports.
	inspectEvery = 15 * time.Second
	// maxRedone is how often what was undone is done again.
	maxRedone = 5
	// workers is how many targets of one enforcer are worked on at a time.
	workers = 8
	// callTimeout bounds one call of an enforcer. A container is given ten seconds to
	// stop.
	callTimeout = 45 * time.Second
	// waitEnforcer is for how long an approved intent waits for its enforcer, or what
	// that asks, to answer.
	waitEnforcer = 5 * time.Minute
	// callPrepare bounds a call that only asks, in simulate.
	callPrepare = 10 * time.Second
	// leastCooldown is the least time between two equal answers of a policy.
	leastCooldown = time.Minute
	// Retries begin after minRetry, which doubles up to maxRetry.
	minRetry = 100 * time.Millisecond
	maxRetry = 30 * time.Second
)

// Enforcer is a plugin that carries intents out.
type Enforcer interface {
	Prepare(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error)
	Execute(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error)
	Inspect(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error)
	Release(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error)
	Plan(ctx context.Context, req *pb.PlanRequest) (*pb.PlanResponse, error)
}

// Alert is what intents about an alert are checked against.
type Alert struct {
	Trace []byte
	// Containers are those that it names.
	Containers []string
	// Entities has "key=value" of each entity.
	Entities   map[string]bool
	Provenance pb.Provenance
	// Peer is who spoke, of a stream that others may write to: a container's id.
	Peer string
}

// Config says what a Guard works with. Journal, Store and Enforcer are required.
type Config struct {
	Logger  hclog.Logger
	Journal action.Journal
	Store   *state.Store
	// Mode is the mode in force; nil is simulate.
	Mode func() config.Mode
	// Alert knows the alerts of late; nil knows none.
	Alert func(id string) (Alert, bool)
	// Enforcer returns the running plugin of a name, nil when it does not run.
	Enforcer func(name string) Enforcer
	// Own reports why a target belongs to the host itself, "" when it does not.
	Own func(target string) string
	// Raise raises an alert of the host's; nil raises none.
	Raise func(ctx context.Context, about *pb.ActionEvent, title, text string) error
	// Policy is the section [guard].
	Policy config.Guard
	// Clock is expiry.SystemClock's when its functions are nil.
	Clock expiry.Clock
}

// Guard carries out intents.
type Guard struct {
	Config
	table    *state.Table[intent]
	switched *state.Table[off]
	notes    *expiry.Notes
	wake     chan struct{}
	deciding sync.Mutex // one decision at a time; taken before mu

	mu       sync.Mutex
	intents  map[string]*intent
	busy     map[string]*intent       // targets that a worker is at, and for what
	working  map[string]int           // workers by enforcer
	telling  map[string]chan struct{} // by target: closed when what came before is told and kept
	order    uint64
	off      *off // nil while the guard is enabled
	breaker  breaker.Breaker
	refusals breaker.Breaker // of recorded refusals; only its count is used
	counts   map[string]uint64
	problems []string
}

const tickKey = "tick"

// New loads what an earlier life of the host kept. It begins nothing.
func New(c Config) (*Guard, error) {
	if c.Journal == nil || c.Store == nil || c.Enforcer == nil {
		return nil, errors.New("a guard needs a journal, a store and a way to enforcers")
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Mode == nil {
		c.Mode = func() config.Mode { return config.Simulate }
	}
	if c.Alert == nil {
		c.Alert = func(string) (Alert, bool) { return Alert{}, false }
	}
	if c.Own == nil {
		c.Own = func(string) string { return "" }
	}
	if c.Raise == nil {
		c.Raise = func(context.Context, *pb.ActionEvent, string, string) error { return nil }
	}
	var err error
	if c.Clock.Wall == nil || c.Clock.Boot == nil {
		if c.Clock, err = expiry.SystemClock(); err != nil {
			return nil, err
		}
	}
	g := &Guard{
		Config: c, wake: make(chan struct{}, 1), busy: make(map[string]*intent), working: make(map[string]int), telling: make(map[string]chan struct{}), counts: make(map[string]uint64),
	}
	if g.table, err = state.NewTable[intent](c.Store, "intents"); err != nil {
		return nil, fmt.Errorf("open the intents: %w", err)
	}
	ticks, err := state.NewTable[expiry.Tick](c.Store, "intents-clock")
	if err != nil {
		return nil, fmt.Errorf("open the intents: %w", err)
	}
	if g.switched, err = state.NewTable[off](c.Store, "guard-switch"); err != nil {
		return nil, fmt.Errorf("open the switch of the guard: %w", err)
	}
	g.loadOff()
	g.notes = expiry.NewNotes(c.Clock, func(t expiry.Tick) error { return ticks.Put(tickKey, t) })
	last, _, err := ticks.Get(tickKey)
	if err != nil {
		c.Logger.Warn("the clocks of the last life are not known", "error", err)
	}
	return g, g.load(last)
}

// load reads what was kept, and carries it into this boot.
func (g *Guard) load(last expiry.Tick) error {
	all, err := g.table.All()
	if err != nil {
		g.problems = append(g.problems, fmt.Sprintf("Some intents cannot be read; what they did to containers has to be looked at by hand: %v", err))
		g.Logger.Error("some intents cannot be read", "error", err)
	}
	g.intents = make(map[string]*intent, len(all))
	changed := make(map[string]intent)
	for k, in := range all {
		g.order = max(g.order, in.Order)
		if !in.State.ended() {
			if s := g.Clock.Rebase(in.Stamp, last); s != in.Stamp {
				in.Stamp = s
				changed[k] = in
			}
		}
		if in.State == Executing { // whether it had begun, nobody knows
			in.State = Unknown
			changed[k] = in
		}
		g.intents[k] = &in
	}
	if len(changed) > 0 {
		if err := g.table.PutAll(changed); err != nil {
			return fmt.Errorf("carry intents into this boot: %w", err)
		}
	}
	return g.notes.Note(false)
}

// Run carries out, inspects and releases until ctx is done; then it waits for the
// calls under way, which ctx ends, and returns nil.
func (g *Guard) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for ctx.Err() == nil {
		timer := time.NewTimer(g.dispatch(ctx, &running))
		select {
		case <-timer.C:
		case <-g.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	running.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.notes.Note(true); err != nil {
		g.Logger.Error("cannot note the clocks", "error", err)
	}
	return nil
}

// nudge makes Run look at what is due.
func (g *Guard) nudge() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// dispatch begins what is due and returns how long nothing else will be.
func (g *Guard) dispatch(ctx context.Context, running *sync.WaitGroup) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.Clock.Boot()
	if err := g.notes.Fresh(); err != nil {
		g.Logger.Error("cannot note the clocks", "error", err)
	}
	if g.breaker.Closes(now) {
		g.Logger.Warn("the breaker is closed: enforcers may act on containers again")
	}
	wait := expiry.TickInterval
	mode := g.Mode()
	taken := make(map[string]bool, len(g.busy))
	for target := range g.busy {
		taken[target] = true
	}
	var ready []*intent
	steps := make(map[*intent]step)
	for _, in := range g.open() {
		if taken[in.Target] || in.concluding {
			continue
		}
		do, left := g.due(in, mode, now)
		if do == nil {
			wait = min(wait, left)
			if in.State == Unknown || in.State == Approved {
				taken[in.Target] = true // what comes after it waits for it
			}
			continue
		}
		taken[in.Target] = true
		ready, steps[in] = append(ready, in), do
	}
	// What is over comes first.
	slices.SortStableFunc(ready, func(a, b *intent) int { return cmp.Compare(g.patience(a), g.patience(b)) })
	for _, in := range ready {
		g.work(ctx, running, in, steps[in])
	}
	return max(wait, time.Millisecond)
}

// patience is less for what is to be released; g.mu is held.
func (g *Guard) patience(in *intent) int {
	if in.State == Releasing || in.EndsAs != "" || in.State != Planned && in.State != Approved && g.Clock.Remaining(in.Stamp) <= 0 {
		return 0
	}
	return 1
}

// work begins a step unless too many are under way, of the enforcer's or in all: a
// worker that ends nudges. One enforcer that hangs leaves room for the others. g.mu is
// held.
func (g *Guard) work(ctx context.Context, running *sync.WaitGroup, in *intent, do step) {
	if g.working[in.Enforcer] >= workers {
		return
	}
	g.busy[in.Target] = in
	g.working[in.Enforcer]++
	running.Go(func() {
		do(ctx, in)
		g.mu.Lock()
		g.leave(in)
		if g.working[in.Enforcer]--; g.working[in.Enforcer] == 0 {
			delete(g.working, in.Enforcer)
		}
		g.mu.Unlock()
		g.nudge()
	})
}

// leave lets another worker at the target of an intent; g.mu is held.
func (g *Guard) leave(in *intent) {
	if g.busy[in.Target] == in {
		delete(g.busy, in.Target)
	}
}

// step is what is done about an intent, by one worker.
type step func(context.Context, *intent)

// open returns the intents that are not ended, in their order; g.mu is held.
func (g *Guard) open() []*intent {
	var out []*intent
	for _, in := range g.intents {
		if !in.State.ended() {
			out = append(out, in)
		}
	}
	slices.SortFunc(out, func(a, b *intent) int { return int(int64(a.Order) - int64(b.Order)) })
	return out
}

// due returns what is to be done about an intent now, or how long nothing is; g.mu
// is held.
func (g *Guard) due(in *intent, mode config.Mode, now time.Duration) (do step, wait time.Duration) {
	left := g.Clock.Remaining(in.Stamp)
	later := in.due - now
	if g.off != nil && (in.State == Planned || in.State == Approved) {
		return g.refuseDisabled, 0
	}
	if g.held(in, mode, left) {
		return nil, expiry.TickInterval // what ends first nudges
	}
	switch in.State {
	case Planned:
		if left <= 0 {
			return g.refuseUnapproved, 0
		}
		return nil, left
	case Approved:
		if later > 0 {
			return nil, later
		}
		return g.begin, 0
	case Unknown:
		if later > 0 {
			return nil, later
		}
		return g.find, 0
	case Releasing:
		if later > 0 {
			return nil, later
		}
		return g.release, 0
	case Applied, Partial:
		switch {
		case in.EndsAs != "":
		case left <= 0:
			in.EndsAs, in.Ending = Expired, "its time is over"
		case mode != config.Enforce:
			in.EndsAs, in.Ending = Released, "the mode is "+string(mode)+" now"
		case g.off != nil && g.off.Release:
			in.EndsAs, in.Ending = Released, "the guard was disabled by "+g.off.By
		default:
			if in.reported || later <= 0 {
				return g.inspect, 0
			}
			return nil, min(left, later)
		}
		return g.release, 0
	}
	return nil, expiry.TickInterval
}

// Changed has what is in effect on the targets inspected, on all when none is named.
// Only intents of the enforcer are.
func (g *Guard) Changed(enforcer string, targets []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, in := range g.intents {
		if in.Enforcer == enforcer && (len(targets) == 0 || slices.Contains(targets, in.Target)) {
			in.reported = true
		}
	}
	g.nudge()
}

// Reconfigure takes over limits that were changed.
func (g *Guard) Reconfigure(p config.Guard) {
	g.deciding.Lock()
	defer g.deciding.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Policy = p
}

// Warnings returns what has to be looked at, one sentence each.
func (g *Guard) Warnings() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := slices.Clone(g.problems)
	if _, open := g.breaker.Open(); open {
		out = append(out, "The breaker of the container guard is open: too many answers were proposed, and none is made for now.")
	}
	if g.off != nil {
		out = append(out, fmt.Sprintf("The container guard is disabled since %s by %s: it answers nothing. See: ironpost guard enable.",
			g.off.Since.Format(time.RFC3339), g.off.By))
	}
	for _, in := range g.open() {
		if in.State == Unknown || in.State == Releasing && in.failures > 0 {
			out = append(out, fmt.Sprintf("The state of %s on %s is not certain, and is tried again: %s", in.Action, in.name(), in.Note))
		}
	}
	return out
}

// Decided returns how many intents were decided in this life of the host.
func (g *Guard) Decided() (n uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, count := range g.counts {
		if name == "planned" || name == "simulated" || strings.HasPrefix(name, "refused_") {
			n += count
		}
	}
	return n
}
