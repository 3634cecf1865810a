package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/respond"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// retryInterval is how often an interface that could not be watched, for another
// reason than that it is not there, is tried again.
const retryInterval = 30 * time.Second

// errDetached is why an interface is not watched that an operator took out.
var errDetached = errors.New("detached by an operator; ironpost ebpf attach brings it back")

// watched is one interface that is to be watched.
type watched struct {
	name string

	// Of the following, network.mu guards reading and writing; only who holds
	// network.change writes.
	filter   *xdp.Filter // nil when it is not attached
	index    int         // what filter is on, or err is about
	err      error       // why filter is nil
	detached bool        // an operator took it out
	stop     func()      // ends its summaries and waits for that; nil when there are none
}

// network is the packet side of the host: the filters of the interfaces that are
// named, as these come and go.
type network struct {
	settings config.EBPF
	// owner tells the pins of this host from those of others.
	owner string
	log   hclog.Logger
	// simulate tells whether filters drop nothing now.
	simulate func() bool

	// lists keeps the lists of filters, publish takes their summaries; both are
	// set before run.
	lists interface {
		Attach(respond.Filter) error
		Detach(name string)
	}
	publish func(ctx context.Context, name string, events []event.PacketEvent) error

	// change is held by who attaches or detaches, which may take seconds.
	change sync.Mutex
	// running tells that filters that come are to be filled and read; change
	// guards it.
	running bool

	mu         sync.Mutex
	interfaces []*watched
	taps       map[*tap]bool

	// life is that of what runs, until cancel.
	life     context.Context
	cancel   context.CancelFunc
	watching sync.WaitGroup
}

// attach attaches the filter to every interface that is named. One that fails
// is reported and holds up nothing. What an earlier host of the same data directory
// left on interfaces that are no longer named is taken off.
func attach(c config.EBPF, dataDir string, simulate func() bool, log hclog.Logger) *network {
	n := &network{settings: c, owner: pinOwner(dataDir), simulate: simulate, log: log, taps: make(map[*tap]bool)}
	n.life, n.cancel = context.WithCancel(context.Background())
	n.change.Lock()
	defer n.change.Unlock()
	if c.Enabled {
		for _, name := range c.Interfaces {
			n.interfaces = append(n.interfaces, &watched{name: name})
		}
	}
	n.sweep()
	for _, w := range n.interfaces {
		n.bring(w)
	}
	return n
}

// pinOwner names who pins filters: the host of a data directory, which one process
// has at a time. It is the start of a SHA-256 of the directory's real path.
func pinOwner(dataDir string) string {
	if path, err := filepath.EvalSymlinks(dataDir); err == nil {
		dataDir = path
	}
	sum := sha256.Sum256([]byte(dataDir))
	return hex.EncodeToString(sum[:4])
}

// sweep detaches filters that this host pinned for interfaces that are no longer
// watched: nobody would keep their lists. Those of other hosts are theirs.
func (n *network) sweep() {
	found, err := xdp.Pinned(n.settings.PinDir)
	if err != nil && !errors.Is(err, xdp.ErrUnsupported) {
		n.log.Debug("cannot look for filters of an earlier host", "error", err)
	}
	for _, p := range found {
		name := p.Interface
		if p.Owner != n.owner || slices.ContainsFunc(n.interfaces, func(w *watched) bool { return w.name == name }) {
			continue
		}
		switch err := xdp.Unpin(p); {
		case err == nil:
			n.log.Warn("detached the packet filter of an earlier host: the interface is no longer named", "interface", name)
		case errors.Is(err, xdp.ErrHeld):
			n.log.Info("another process has the packet filter of an earlier host", "interface", name)
		default:
			n.log.Error("the packet filter of an earlier host is left", "interface", name, "error", err)
		}
	}
}

// bring attaches the filter to an interface; change is held.
func (n *network) bring(w *watched) {
	index := xdp.InterfaceIndex(w.name)
	filter, err := xdp.Open(xdp.Config{
		Interface: w.name,
		Mode:      xdp.Mode(n.settings.Mode),
		PinDir:    n.settings.PinDir,
		Owner:     n.owner,
		// A filter that goes on must neither drop in a mode that does not, nor
		// pause in one that does. A new one has nothing to drop yet.
		Simulate:      n.simulate(),
		FlushInterval: n.settings.FlushInterval,
		MaxEntries:    n.settings.MaxEntries,
		// Sequences are never used twice: microseconds since 1970 run ahead
		// of any number of summaries.
		FirstSequence: uint64(time.Now().UnixMicro()),
		Logger:        n.log.Named("xdp"),
	})
	if err != nil && (w.err == nil || w.err.Error() != err.Error()) {
		n.log.Error("interface is not watched", "interface", w.name, "error", err)
	}
	if err == nil {
		index = filter.Index()
	}
	n.mu.Lock()
	w.filter, w.err, w.index = filter, err, index
	n.mu.Unlock()
	if n.running {
		n.fillOne(w)
		n.start(w)
	}
}

// fill puts the lists of every interface into force.
func (n *network) fill() {
	n.change.Lock()
	defer n.change.Unlock()
	for _, w := range n.interfaces {
		n.fillOne(w)
	}
}

func (n *network) fillOne(w *watched) {
	if w.filter == nil {
		return
	}
	if err := n.lists.Attach(w.filter); err != nil {
		n.log.Error("the lists are not in force on an interface", "interface", w.name, "error", err)
	}
}

// start publishes the summaries of a filter; change is held.
//
//nolint:contextcheck,nolintlint // it goes on when who asked for it is gone
func (n *network) start(w *watched) {
	if w.filter == nil {
		return
	}
	ctx, cancel := context.WithCancel(n.life)
	var running sync.WaitGroup
	filter := w.filter
	running.Go(func() {
		err := filter.Run(ctx, func(events []event.PacketEvent) error {
			n.tap(events)
			return n.publish(ctx, w.name, events)
		})
		if err != nil && ctx.Err() == nil {
			n.log.Error("the interface is no longer watched", "interface", w.name, "error", err)
		}
	})
	w.stop = func() {
		cancel()
		running.Wait()
	}
}

// run publishes the summaries of every interface, and follows interfaces as they
// come and go, until quiet. fill comes before.
func (n *network) run() {
	ctx := n.life
	n.change.Lock()
	n.running = true
	for _, w := range n.interfaces {
		n.start(w)
	}
	n.change.Unlock()
	if !n.settings.Enabled {
		return
	}
	n.watching.Go(func() {
		err := xdp.WatchInterfaces(ctx, func() { n.follow(ctx, false) })
		if err != nil && !errors.Is(err, xdp.ErrUnsupported) {
			n.log.Error("interfaces that come or go are seen late", "error", err)
		}
	})
	n.watching.Go(func() {
		ticker := time.NewTicker(retryInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				n.follow(ctx, true)
			}
		}
	})
}

// follow makes the filters those of the interfaces that are there now. again
// tries interfaces once more that are there and failed.
func (n *network) follow(ctx context.Context, again bool) {
	n.change.Lock()
	defer n.change.Unlock()
	for _, w := range n.list() {
		if ctx.Err() != nil {
			return
		}
		index := xdp.InterfaceIndex(w.name)
		switch {
		case w.detached:
		case w.filter != nil && index != w.index:
			n.log.Warn("an interface went away", "interface", w.name)
			if err := n.take(w, true, fmt.Errorf("the interface went away; it is watched as soon as it is there again: %w", xdp.ErrNoInterface)); err != nil {
				n.log.Warn("what was left of its packet filter is not all gone", "interface", w.name, "error", err)
			}
			if index != 0 {
				n.bring(w)
			}
		case w.filter == nil && index != 0 && (index != w.index || again):
			n.bring(w)
		case w.filter == nil && index == 0:
			n.mu.Lock()
			w.index = 0
			n.mu.Unlock()
		}
	}
}

// take ends the filter of an interface, off the interface if detach is set;
// change is held. It is not attached for the given reason then.
func (n *network) take(w *watched, detach bool, reason error) error {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
	n.lists.Detach(w.name)
	n.mu.Lock()
	filter := w.filter
	w.filter, w.err, w.index = nil, reason, 0
	n.mu.Unlock()
	switch {
	case filter == nil:
		return nil
	case detach:
		return filter.Detach()
	}
	return filter.Close()
}

// quiet ends the summaries and what follows the interfaces. Filters stay as they
// are, with their lists.
func (n *network) quiet() {
	n.cancel()
	n.watching.Wait()
	n.change.Lock()
	defer n.change.Unlock()
	n.running = false
	for _, w := range n.list() {
		if w.stop != nil {
			w.stop()
			w.stop = nil
		}
	}
}

// release takes the filters from the responder. Those that go on without the
// host drop nothing if that is an experiment: nobody would be there to end it.
func (n *network) release(experiment bool) {
	for _, w := range n.snapshot() {
		n.lists.Detach(w.name)
		if w.filter == nil || !experiment {
			continue
		}
		if err := w.filter.SetSimulate(true); err != nil {
			n.log.Error("the packet filter may go on dropping", "interface", w.name, "error", err)
		}
	}
}

// stop ends the summaries and gives up the filters: those that are pinned go
// on, the others are detached.
func (n *network) stop() error {
	n.quiet()
	n.change.Lock()
	defer n.change.Unlock()
	var errs []error
	for _, w := range n.list() {
		if w.filter != nil && w.filter.Unpinned() == "" {
			n.log.Info("the packet filter goes on without the host; to end it: ironpost ebpf detach", "interface", w.name)
		}
		errs = append(errs, n.take(w, false, xdp.ErrClosed))
	}
	return errors.Join(errs...)
}

// list returns the interfaces as they are now.
func (n *network) list() []*watched {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.interfaces)
}

// snapshot returns copies of the interfaces' states.
func (n *network) snapshot() []watched {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]watched, len(n.interfaces))
	for i, w := range n.interfaces {
		all[i] = *w
	}
	return all
}

// each calls f for every interface, with its filter or why it has none.
func (n *network) each(f func(name string, filter *xdp.Filter, err error)) {
	for _, w := range n.snapshot() {
		f(w.name, w.filter, w.err)
	}
}

// status describes the interfaces.
func (n *network) status() []*pb.Interface {
	var out []*pb.Interface
	n.each(func(name string, filter *xdp.Filter, err error) {
		i := &pb.Interface{Name: name}
		out = append(out, i)
		if err != nil {
			i.Error = err.Error()
			return
		}
		i.Mode = string(filter.AttachMode())
		i.Unpinned = filter.Unpinned()
		stats, err := filter.Stats()
		if err != nil {
			i.Error = fmt.Sprintf("statistics: %v", err)
			return
		}
		fillStats(i, stats)
	})
	return out
}
