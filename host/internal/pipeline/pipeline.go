package pipeline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/bus"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// HostPlugin is the name under which the host itself opens streams.
const HostPlugin = "host"

// AlertFunc takes over an alert that a detector raised, and returns the index
// of its entry in Config.Journal, where it is safe once the entry is on disk; 0
// when nothing is left to wait for.
type AlertFunc func(a *pb.AlertEvent) (index uint64, err error)

// RecordFunc takes over what a scanner says of a package, and returns the index of
// its entry in Config.Inventory; 0 when nothing is left to wait for.
type RecordFunc func(e *pb.InventoryEvent) (index uint64, err error)

// DecideFunc receives an action that an enforcer proposes.
type DecideFunc func(ctx context.Context, enforcer string, a *pb.ActionEvent) error

// Config says what a Pipeline works with.
type Config struct {
	HostID string
	Logger hclog.Logger
	Pool   *pb.Pool
	// Store keeps checkpoints, positions and plugin state; nil offline.
	Store *state.Store
	// Journal is followed by the consumers of alerts and actions; nil offline.
	Journal *state.Journal
	// Inventory is followed by the consumers of inventory; nil offline, where no
	// scanner looks by itself.
	Inventory *state.Journal
	// Alert is called by one goroutine for each detector and scanner, Record by one
	// for each scanner.
	Alert  AlertFunc
	Record RecordFunc
	Decide DecideFunc
	// Quarantine keeps poison records; nil leaves them out without a trace but
	// their count.
	Quarantine QuarantineFunc
	// AskEnforcers reports whether alerts go to enforcers at this moment.
	AskEnforcers func() bool
	// Credits, RetainedBytes bound each link.
	Credits       int
	RetainedBytes int64
	// BatchRecords, BatchBytes and FlushInterval say when a source's batch
	// leaves; BatchEvents bounds the batches that the host itself makes.
	BatchRecords  int
	BatchBytes    int64
	FlushInterval time.Duration
	BatchEvents   int
	// Routes leads from the name of a source plugin or a stream to a format.
	Routes map[string]string
}

// maxFrames bounds the frames that a queue holds, beside its bytes.
const maxFrames = 16384

// Pipeline connects the plugins of one host.
type Pipeline struct {
	config Config
	log    hclog.Logger
	// ctx ends when the pipeline is closed. What was taken over from a plugin
	// is handed on under it, not under the life of that plugin: a half
	// published batch would be lost to the rest.
	ctx    context.Context
	cancel context.CancelFunc

	// Logs and Packets carry what their names say.
	Logs, Packets bus.Topic

	mu      sync.RWMutex
	members map[string]*Member
	parsers map[string]*Member // by format
	parsing map[uint64]*Member // where the last records went, by stream id
	origins map[uint64][]byte  // encoded, by stream id
	gaps    map[string]*Gaps   // by plugin, those that left included
	gone    map[string]string  // names of the parsers that left, by format
	changed chan struct{}      // of GapsChanged
	formats formats

	Stats Stats
}

// New returns a pipeline without members.
func New(c Config) *Pipeline {
	if c.AskEnforcers == nil {
		c.AskEnforcers = func() bool { return true }
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Pipeline{
		ctx:     ctx,
		cancel:  cancel,
		config:  c,
		log:     c.Logger,
		members: make(map[string]*Member),
		parsers: make(map[string]*Member),
		parsing: make(map[uint64]*Member),
		origins: make(map[uint64][]byte),
		gaps:    make(map[string]*Gaps),
		gone:    make(map[string]string),
		changed: make(chan struct{}, 1),
		Stats:   Stats{drops: make(map[[2]string]uint64), reasons: make(map[string]uint64), streams: make(map[uint64]*StreamStats)},
	}
}

// Close ends the flow where it stands: nothing is handed on any more, and no
// checkpoint advances. What is under way comes again at the next start.
func (p *Pipeline) Close() { p.cancel() }

// Add gives the described plugin its place. It fails when the plugin parses a
// format that another parses already.
func (p *Pipeline) Add(desc *pb.Description) (*Member, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.members[desc.Name] != nil {
		return nil, fmt.Errorf("plugin %s has its place already", desc.Name)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &Member{pipeline: p, desc: desc, log: p.log.Named(desc.Name), queues: make(map[string]*bus.Queue), cancel: cancel, configured: make(chan struct{})}
	m.consumes.Store(&desc.Consumes)
	if m.Gaps = p.gaps[desc.Name]; m.Gaps == nil {
		if len(p.gaps) >= maxStats {
			clear(p.gaps)
		}
		m.Gaps = &Gaps{plugin: desc.Name, changed: p.changed}
		p.gaps[desc.Name] = m.Gaps
	}
	m.up.Store(true)
	for _, kind := range desc.Kinds {
		if err := m.join(ctx, kind); err != nil {
			if p.parsers[desc.Format] == m {
				delete(p.parsers, desc.Format)
			}
			m.leave()
			return nil, err
		}
	}
	p.members[desc.Name] = m
	return m, nil
}

// join prepares one kind of the plugin; p.mu is held.
func (m *Member) join(ctx context.Context, kind string) error {
	p := m.pipeline
	switch kind {
	case "source":
		m.sources = bus.NewSources(func(c bus.Checkpoint) {
			// A stream without checkpoints cannot be read again: nothing to keep.
			if p.config.Store != nil && p.ctx.Err() == nil && len(c.Checkpoint) > 0 {
				p.config.Store.Checkpoint(m.desc.Name, c.Stream, c.Next, c.Checkpoint)
			}
		})
	case "scanner":
		m.watches = p.config.Record != nil
	case "parser":
		if other := p.parsers[m.desc.Format]; other != nil {
			return fmt.Errorf("plugin %s parses format %q, which plugin %s parses already", m.desc.Name, m.desc.Format, other.desc.Name)
		}
		c := p.queueConfig(m.desc.Name, nil)
		c.Answered = true
		m.queues[kind] = bus.NewQueue(c)
		p.parsers[m.desc.Format] = m
		delete(p.gone, m.desc.Format)
	case "detector", "sink", "enforcer":
		q, err := m.consumerQueue(kind)
		if err != nil {
			return err
		}
		m.queues[kind] = q
		m.subscribe(ctx, kind, q)
	}
	return nil
}

// Remove takes the plugin's place away. What a parser had not parsed passes
// unparsed; what other kinds had not consumed is released.
func (p *Pipeline) Remove(name string) {
	p.mu.RLock()
	m := p.members[name]
	p.mu.RUnlock()
	if m == nil {
		return
	}
	m.cancel()
	m.SetUp(false)
	p.mu.Lock()
	delete(p.members, name)
	if p.parsers[m.desc.Format] == m {
		delete(p.parsers, m.desc.Format)
		if len(p.gone) < maxStats {
			p.gone[m.desc.Format] = name
		}
	}
	p.mu.Unlock()
	m.leave()
}

// Idle returns when no consumer owes anything, or when ctx is done. The order
// is that of the flow, so nothing can come back behind it.
func (p *Pipeline) Idle(ctx context.Context) error {
	for _, kind := range []string{"parser", "detector", "enforcer", "sink"} {
		p.mu.RLock()
		var queues []*bus.Queue
		for _, m := range p.members {
			if q := m.queues[kind]; q != nil && m.up.Load() {
				queues = append(queues, q)
			}
		}
		p.mu.RUnlock()
		for _, q := range queues {
			if err := q.Idle(ctx); err != nil {
				return fmt.Errorf("wait for %s: %w", q.Name(), err)
			}
		}
	}
	return nil
}

// route chooses the parser for a stream, nil when there is none.
func (p *Pipeline) route(plugin string, o *pb.Origin) *Member {
	p.mu.RLock()
	defer p.mu.RUnlock()
	format := p.format(plugin, o)
	if m := p.parsers[format]; m != nil {
		return m
	}
	for _, m := range p.parsers { // a route may also name the plugin
		if m.desc.Name == format {
			return m
		}
	}
	if format == "" && len(p.parsers) == 1 {
		for _, m := range p.parsers {
			return m
		}
	}
	if format == "" {
		return p.parsers["syslog"]
	}
	return nil
}

// format returns what a stream's parser is chosen by; p.mu is held.
func (p *Pipeline) format(plugin string, o *pb.Origin) string {
	if to, ok := p.config.Routes[o.Name]; ok {
		return to
	}
	if to, ok := p.config.Routes[plugin]; ok {
		return to
	}
	return o.Format
}

// hand returns when the records of a stream may go to a parser, nil for none: when
// the one that it had before has answered what it was given. The queues behind the
// parsers take the records of a stream in their order alone: what comes behind
// records that a consumer has is taken for a second time of them. It fails with
// the cause of the pipeline's end.
func (p *Pipeline) hand(stream uint64, to *Member) error {
	p.mu.RLock()
	from := p.parsing[stream]
	p.mu.RUnlock()
	if from == to {
		return nil
	}
	if from != nil {
		if err := from.queues["parser"].Left(p.ctx, stream, from.up.Load); err != nil {
			return err
		}
		from.evict() // or somebody else's is under way
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.parsing) >= maxParsing {
		clear(p.parsing)
	}
	p.parsing[stream] = to
	return nil
}

// maxParsing bounds the streams whose parser is remembered.
const maxParsing = 1 << 16

// goneParser returns the gaps of the parser that a stream had before it was taken
// away, nil when it never had one.
func (p *Pipeline) goneParser(plugin string, o *pb.Origin) *Gaps {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.gaps[p.gone[p.format(plugin, o)]]
}

// detect puts the format of a stream that no route names into its origin: what
// its records look like. It reports whether that differs from what the source said.
func (p *Pipeline) detect(stream uint64, plugin string, o *pb.Origin, payload func() []byte) bool {
	p.mu.RLock()
	_, byName := p.config.Routes[o.Name]
	_, byPlugin := p.config.Routes[plugin]
	p.mu.RUnlock()
	if byName || byPlugin {
		return false
	}
	format := p.formats.detect(stream, o.Format, payload, p.hasParser)
	if format == o.Format {
		return false
	}
	o.Format = format
	return true
}

// hasParser reports whether a format has a parser.
func (p *Pipeline) hasParser(format string) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.parsers[format] != nil
}

// SetRoutes replaces the routes.
func (p *Pipeline) SetRoutes(routes map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.config.Routes = routes
}

// origin returns the encoded origin of a stream, in memory of its own.
func (p *Pipeline) origin(stream uint64, encoded []byte) []byte {
	p.mu.RLock()
	known := p.origins[stream]
	p.mu.RUnlock()
	if known != nil && string(known) == string(encoded) {
		return known
	}
	known = append([]byte{}, encoded...)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.origins) >= maxOrigins {
		clear(p.origins)
	}
	p.origins[stream] = known
	return known
}

// maxOrigins bounds the origins remembered; past it they are learnt again.
const maxOrigins = 8192
