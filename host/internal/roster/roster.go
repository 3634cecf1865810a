package roster

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/pipeline"
	"github.com/ironpost/ironpost/host/internal/sandbox"
	"github.com/ironpost/ironpost/host/internal/state"
	"github.com/ironpost/ironpost/host/internal/supervise"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Errors for branching.
var (
	ErrNotFound = errors.New("no such plugin")
	ErrRefused  = errors.New("the plugin is refused")
)

// Config says what a Roster works with.
type Config struct {
	Logger   hclog.Logger
	Launcher *sandbox.Launcher
	Pipeline *pipeline.Pipeline
	Pool     *pb.Pool
	// Store keeps pins, users and descriptions; nil keeps them in memory only,
	// as the offline verbs do.
	Store *state.Store
	// Memory, when set, keeps descriptions in place of the Store. With Want, it saves
	// looking into plugins that are not wanted.
	Memory *catalog.Memory
	// DataDir is the host's; RunDir holds the plugins' sockets.
	DataDir, RunDir string
	// OwnDataDir holds the directories that are the plugins' own; "" is DataDir.
	OwnDataDir string
	// Dirs are the plugin directories.
	Dirs    []string
	Plugins config.Plugins
	HostID  string
	Version string
	Mode    func() string
	// Replay tells plugins that the records are history.
	Replay bool
	// Bundles resolves relative bundle paths; each is tried in turn.
	BundleDirs []string
	// Bundles replaces the paths of bundles, by name.
	Bundles map[string][]string
	// Want, when set, leaves out the plugins that it does not want.
	Want func(*pb.Description) bool
	// TrustAll runs every sound candidate that was not built with the host, as
	// if it were enabled: the operator named the directories for this once.
	TrustAll bool
	// Changed is told of targets of an enforcer's to which something happened.
	Changed func(enforcer string, targets []string)
	// Shared counts for a plugin that was granted the service; nil counts nothing.
	Shared func(ctx context.Context, plugin string, req *pb.SharedRequest) (*pb.SharedReply, error)
	// State, when set, runs while a process of a plugin of the kind "state" is up. Its end
	// without an error is no end of the process.
	State func(ctx context.Context, plugin string, conn *link.Conn) error
	// Report is told what became of a bundle.
	Report func(plugin string, bundle string, r *pb.BundleResponse)
}

// Roster is the set of plugins of a host.
type Roster struct {
	config  Config
	log     hclog.Logger
	copies  *catalog.Store
	options catalog.Options
	pins    table[catalog.Pin]
	off     table[bool]
	uids    table[uint32]
	known   descriptions // by digest
	past    table[failures]

	pipes     link.Pipes     // of all plugins' links
	attending sync.WaitGroup // what serves the sockets of plugins

	// looking serialises looking at the directories, change deciding. What takes
	// time, starting and ending plugins, is under the lock of their name instead.
	// They are locked in this order: a name, looking, change.
	looking  sync.Mutex
	change   sync.Mutex
	open     chan struct{} // closed when sources may send
	openOnce sync.Once

	logsMu sync.Mutex          // guards logs
	logs   map[string]*logRing // by name of a plugin, else of a file

	warmMu sync.Mutex      // guards warm
	warm   map[string]warm // by digest

	mu      sync.RWMutex // guards what follows
	sums    catalog.Sums
	plugins []*plugin // one per candidate, in the order of the scan
	running map[string]*plugin
	locks   map[string]*sync.Mutex // by name
	// stopping is set when nothing is to be started any more.
	stopping bool
	current  *config.Config
}

// plugin is one candidate and, when it runs, its place.
type plugin struct {
	file, path string
	seen       fs.FileInfo
	digest     string
	desc       *pb.Description // nil when it could not be described
	asked      bool            // it was run and asked for a description
	recalled   bool            // digest and desc are remembered: it was not read
	exe        *os.File        // the copy that was just verified; scan takes it
	signing    signing
	grant      *grant // what its pin grants; nil when it is not pinned
	refusal    *catalog.Refusal
	decision   catalog.Decision

	supervisor *supervise.Supervisor
	member     *pipeline.Member
	stop       context.CancelFunc // kills
	listeners  map[string]*os.File
	background *sync.WaitGroup
	rate       *rate
	requests   requests
	launching  *atomic.Pointer[plugin] // whose bytes the next process executes
	log        *logRing
}

// name is what the plugin calls itself, else its file's name.
func (p *plugin) name() string {
	if p.desc != nil {
		return p.desc.Name
	}
	return p.file
}

// BatchesInMemory returns how many large batches were read into memory, since no
// pipe was to be had for them.
func (r *Roster) BatchesInMemory() uint64 { return r.pipes.Missed() }

// New opens the roster; Scan fills it.
func New(c Config) (*Roster, error) {
	copies, err := catalog.OpenStore(c.DataDir + "/plugins")
	if err != nil {
		return nil, err
	}
	r := &Roster{
		config: c, log: c.Logger, copies: copies, running: make(map[string]*plugin),
		locks: make(map[string]*sync.Mutex), open: make(chan struct{}), warm: make(map[string]warm), logs: make(map[string]*logRing),
	}
	if r.options, err = catalog.HostOptions(r.expected); err != nil {
		return nil, err
	}
	for _, open := range []func() error{
		func() (err error) { r.pins, err = newTable[catalog.Pin](c.Store, "pins"); return },
		func() (err error) { r.off, err = newTable[bool](c.Store, "plugins_off"); return },
		func() (err error) { r.uids, err = newTable[uint32](c.Store, "plugin_users"); return },
		func() (err error) {
			if c.Memory != nil {
				r.known = lasting{c.Memory, c.Version}
				return nil
			}
			r.known, err = newTable[description](c.Store, "descriptions")
			return err
		},
		func() (err error) { r.past, err = newTable[failures](c.Store, "plugin_failures"); return },
	} {
		if err := open(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Sections returns the configuration sections that the plugins declare, those
// of plugins that will not run as unread.
func (r *Roster) Sections() []config.Section {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []config.Section
	taken := make(map[string]bool)
	for _, enabled := range []bool{true, false} {
		for _, p := range r.plugins {
			if p.desc == nil || p.desc.Section == "" || taken[p.desc.Section] || (p.decision.State == catalog.Enabled) != enabled {
				continue
			}
			taken[p.desc.Section] = true
			s := sectionOf(p.desc)
			s.Unread = !enabled
			out = append(out, s)
		}
	}
	return out
}

// Configure puts a configuration into force for what is started from now on.
func (r *Roster) Configure(c *config.Config) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = c
	r.config.Plugins = c.Host().Plugins
}
