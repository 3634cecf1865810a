package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Bounds.
const (
	// maxAtOnce is how many decisions and ids one call tells.
	maxAtOnce = 256
	// maxSeen is how many decisions are followed through one telling of everything.
	maxSeen = 1 << 18
	// shareTimeout bounds one call.
	shareTimeout = 5 * time.Second
	// minRest and maxRest are how long Run waits before it begins anew.
	minRest = 100 * time.Millisecond
	maxRest = 2 * time.Second
)

// Engine is a connection to a state engine: a link.Conn.
type Engine interface {
	ShareDecisions(ctx context.Context, req *pb.ShareRequest) (*pb.ShareReply, error)
	FollowDecisions(ctx context.Context, tell func(*pb.DecisionNotice) error) error
}

// Book is what this host decides and follows: a respond.Fleet, which documents the
// methods.
type Book interface {
	Take(decisions []*pb.Decision) error
	Drop(ids []string) error
	Keep(ids map[string]bool) error
	Own() []*pb.Decision
	TakenBack() []string
	Changed() <-chan struct{}
	Changes() (made []*pb.Decision, gone []string, all bool)
	IsOwn(d *pb.Decision) bool
}

// Settings say which kinds of decisions travel.
type Settings struct {
	// Share are told to others, Take taken over from them.
	Share, Take []pb.Decision_Kind
}

// Memory keeps the generation of the engine over restarts.
type Memory interface {
	Generation() string
	SetGeneration(string) error
}

// Config is what an Exchange works with; all of it is needed.
type Config struct {
	Logger   hclog.Logger
	Book     Book
	Memory   Memory
	Settings func() Settings
}

// Status says how the exchange fares.
type Status struct {
	// Engine is the plugin that reaches the engine, "" when none runs.
	Engine string
	// Current says that everything in force is known; Since is from when on it is so, or
	// is not so.
	Current bool
	Since   time.Time
	// Problem is why it is not.
	Problem string
	// Shared counts decisions and ids that were told.
	Shared uint64
}

// Exchange follows an engine.
type Exchange struct {
	cfg  Config
	turn chan struct{} // of one: who runs has it

	mu     sync.Mutex
	status Status
}

// New makes an Exchange; it does nothing yet.
func New(c Config) *Exchange { return &Exchange{cfg: c, turn: make(chan struct{}, 1)} }

// Status returns how it fares.
func (x *Exchange) Status() Status {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.status
}

// Run follows the engine that a plugin reaches until ctx is done; it returns nil then. Of
// several one is followed, and the others wait.
func (x *Exchange) Run(ctx context.Context, plugin string, engine Engine) error {
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		return nil
	}
	x.set(func(s *Status) { *s = Status{Engine: plugin, Since: time.Now(), Shared: s.Shared} })
	defer x.set(func(s *Status) { *s = Status{Since: time.Now(), Shared: s.Shared} })
	for rest := minRest; ; rest = min(2*rest, maxRest) {
		err := x.follow(ctx, engine)
		if ctx.Err() != nil {
			return nil
		}
		s := x.Status()
		if s.Current || s.Problem == "" {
			x.cfg.Logger.Warn("other hosts' decisions are not followed for now", "plugin", plugin, "error", err)
		}
		if s.Current {
			rest = minRest
		}
		x.set(func(s *Status) {
			if s.Current {
				s.Since = time.Now()
			}
			s.Current, s.Problem = false, err.Error()
		})
		timer := time.NewTimer(rest/2 + rand.N(rest/2)) //nolint:gosec // hosts are not to come all at once
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func (x *Exchange) set(change func(*Status)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	change(&x.status)
}

// errStopped: an engine may not end a telling without a reason.
var errStopped = errors.New("the state engine stopped telling")

// follow listens and tells until one of both fails.
func (x *Exchange) follow(ctx context.Context, engine Engine) error {
	g, ctx := errgroup.WithContext(ctx)
	s := &session{x: x, engine: engine, due: make(chan due, 1), seen: make(map[string]bool), own: make(map[string]bool)}
	g.Go(func() error {
		if err := engine.FollowDecisions(ctx, func(n *pb.DecisionNotice) error { return s.heard(ctx, n) }); err != nil {
			return err
		}
		return errStopped
	})
	g.Go(func() error { return s.tell(ctx) })
	return g.Wait()
}

// due is what has to be told.
type due struct {
	made []*pb.Decision
	gone []string
}

// session is one time of following.
type session struct {
	x      *Exchange
	engine Engine
	due    chan due
	// seen are the decisions of others since all was told last, own those of this host.
	seen, own map[string]bool
}

// heard follows one notice.
func (s *session) heard(ctx context.Context, n *pb.DecisionNotice) error {
	book, kinds := s.x.cfg.Book, s.x.cfg.Settings().Take
	var taken []*pb.Decision
	for _, d := range n.Decisions {
		switch {
		case book.IsOwn(d):
			s.own[d.Id] = true
		case slices.Contains(kinds, d.Kind):
			s.seen[d.Id] = true
			taken = append(taken, d)
		}
	}
	if len(s.seen)+len(s.own) > maxSeen {
		return fmt.Errorf("more than %d decisions are in force", maxSeen)
	}
	if err := book.Take(taken); err != nil {
		return err
	}
	for _, id := range n.Removed {
		delete(s.seen, id)
		delete(s.own, id)
	}
	if err := book.Drop(n.Removed); err != nil {
		return err
	}
	if !n.Current {
		return nil
	}
	return s.current(ctx, n.Generation)
}

// current makes both sides alike when everything has been told.
func (s *session) current(ctx context.Context, generation string) error {
	book, memory := s.x.cfg.Book, s.x.cfg.Memory
	if before := memory.Generation(); before == generation {
		if err := book.Keep(s.seen); err != nil {
			return err
		}
	} else {
		if before != "" {
			s.x.cfg.Logger.Warn("the state engine has lost its memory; what this host decided is told anew", "generation", generation)
		}
		if err := memory.SetGeneration(generation); err != nil {
			return err
		}
	}
	var next due
	for _, d := range book.Own() {
		if !s.own[d.Id] {
			next.made = append(next.made, d)
		}
		delete(s.own, d.Id)
	}
	for id := range s.own {
		next.gone = append(next.gone, id)
	}
	for _, id := range book.TakenBack() {
		if s.seen[id] {
			next.gone = append(next.gone, id)
		}
	}
	s.seen, s.own = make(map[string]bool), make(map[string]bool)
	select {
	case s.due <- next:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tell tells others what they do not know, from when all is known that they know.
func (s *session) tell(ctx context.Context) error {
	var changed <-chan struct{} // nil until then
	for {
		var next due
		select {
		case next = <-s.due:
			changed = s.x.cfg.Book.Changed()
		case <-changed:
			var all bool
			if next.made, next.gone, all = s.x.cfg.Book.Changes(); all {
				return errors.New("too many changes waited to be told; everything is compared anew")
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := s.share(ctx, next); err != nil {
			return err
		}
		s.x.set(func(st *Status) {
			st.Shared += uint64(len(next.made) + len(next.gone))
			if !st.Current {
				st.Current, st.Since, st.Problem = true, time.Now(), ""
			}
		})
	}
}

// share tells in calls that are not too large.
func (s *session) share(ctx context.Context, next due) error {
	kinds := s.x.cfg.Settings().Share
	made := slices.DeleteFunc(next.made, func(d *pb.Decision) bool { return !slices.Contains(kinds, d.Kind) })
	for gone := next.gone; len(made)+len(gone) > 0; {
		req := &pb.ShareRequest{Decisions: made[:min(len(made), maxAtOnce)]}
		req.Removed = gone[:min(len(gone), maxAtOnce-len(req.Decisions))]
		made, gone = made[len(req.Decisions):], gone[len(req.Removed):]
		call, cancel := context.WithTimeout(ctx, shareTimeout)
		reply, err := s.engine.ShareDecisions(call, req)
		cancel()
		if err != nil {
			return err
		}
		if err := s.x.cfg.Book.Drop(reply.GetRemoved()); err != nil {
			return err
		}
	}
	return nil
}
