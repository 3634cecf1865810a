package control

import (
	"context"
	"net/netip"
	"time"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Backend is what the API talks to. Every part may be nil: requests for it are
// answered with ErrNotSupported. The parts return the sentinels of this package
// (ErrNotFound, ErrInvalid, ErrNotSupported, ErrConflict), wrapped in words
// that say what, why and how to mend; other errors mean that it failed. The
// messages that they return belong to the server.
type Backend struct {
	Status  Status
	Plugins Plugins
	// Logs shows what plugins write.
	Logs PluginLogs
	// Changer enables, disables and reloads plugins.
	Changer PluginChanger
	// Remover forgets plugins.
	Remover PluginRemover
	// Trust says what plugins are held to.
	Trust   PluginTrust
	Rules   Rules
	Events  Events
	Store   Store
	Blocks  AddressList
	Allows  AddressList
	Checker Checker
	Mode    Mode
	Config  Configuration
	// Quarantine holds the records that plugins died of.
	Quarantine Quarantine
	// Filters are the packet filters.
	Filters Filters
	// BlockRules are the rules of the packet filters.
	BlockRules BlockRules
	// Guard carries out what enforcers do themselves.
	Guard Guard
	// Silences hold alerts back.
	Silences Silences
}

// Status sums up the running host.
type Status interface {
	// Status returns the host's own view; the server adds what its tails dropped.
	Status(ctx context.Context) (*ironpostv1.StatusResponse, error)
}

// Plugins describes every candidate, enabled or not.
type Plugins interface {
	ListPlugins(ctx context.Context) ([]*ironpostv1.PluginStatus, error)
	PluginInfo(ctx context.Context, name string) (*ironpostv1.PluginInfoResponse, error)
}

// KnownPlugins is a Plugins that can answer without looking for new candidates.
type KnownPlugins interface {
	KnownPlugins(ctx context.Context) ([]*ironpostv1.PluginStatus, error)
}

// PluginLogs shows what plugins write to their standard error.
type PluginLogs interface {
	// PluginLogs calls emit with the last lines that are kept, at most last, and,
	// when follow is set, with those to come until ctx ends. It returns the error
	// of emit.
	PluginLogs(ctx context.Context, name string, last int, follow bool, emit func([]*ironpostv1.PluginLogLine) error) error
}

// PluginChanger changes the life of a plugin and returns when that is done.
type PluginChanger interface {
	// EnablePlugin pins, grants and starts. When digest is set the plugin's
	// bytes have to have it, else nothing changes and the error wraps ErrConflict.
	EnablePlugin(ctx context.Context, name, digest string) (*ironpostv1.PluginInfoResponse, error)
	DisablePlugin(ctx context.Context, name string) (*ironpostv1.PluginInfoResponse, error)
	ReloadPlugin(ctx context.Context, name string) (*ironpostv1.PluginInfoResponse, error)
}

// PluginRemover forgets what was decided about a plugin.
type PluginRemover interface {
	// RemovePlugin drains and ends the plugin and deletes its pin and grant.
	// Its file stays. One that was built with the host is refused with
	// ErrConflict unless force is set.
	RemovePlugin(ctx context.Context, name string, force bool) (*ironpostv1.RemovePluginResponse, error)
}

// PluginTrust says what the host holds plugin files to.
type PluginTrust interface {
	PluginTrust(ctx context.Context) (*ironpostv1.PluginTrustResponse, error)
}

// Quarantine holds the records that plugins died of. An id that is not there is
// ErrNotFound.
type Quarantine interface {
	ListQuarantine(ctx context.Context) ([]*ironpostv1.QuarantinedRecord, error)
	ShowQuarantine(ctx context.Context, id string) (*ironpostv1.QuarantinedRecord, error)
	// ReplayQuarantine returns when the plugin's queue has the record; ErrConflict
	// when the plugin does not run.
	ReplayQuarantine(ctx context.Context, id string) (*ironpostv1.QuarantinedRecord, error)
	DropQuarantine(ctx context.Context, id string) (*ironpostv1.QuarantinedRecord, error)
}

// Rules lists the rules of all detectors.
type Rules interface {
	ListRules(ctx context.Context) ([]*ironpostv1.Rule, error)
}

// Events shows events as they pass.
type Events interface {
	// Tail calls emit with every batch of the given kinds until ctx ends, and
	// returns after the last call. emit takes over one reference to the frame,
	// never blocks, and may be called from any goroutine.
	Tail(ctx context.Context, kinds []ironpostv1.Kind, emit func(*ironpostv1.Frame)) error
}

// Store asks the sink that keeps events.
type Store interface {
	// Query calls send with the events asked for, newest first. send blocks
	// while the reader is slow; its error is to be returned.
	Query(ctx context.Context, q *ironpostv1.QueryRequest, send func(*ironpostv1.Batch) error) error
	// UpdateAlert changes the state of an alert in the store that answers, which must know
	// it, and in every other one that does.
	UpdateAlert(ctx context.Context, u *ironpostv1.UpdateRequest) (*ironpostv1.UpdateResponse, error)
}

// Entry is an address or network to be put on a list.
type Entry struct {
	Prefix netip.Prefix
	// TTL is how long it stays; 0 leaves that to the list.
	TTL    time.Duration
	Reason string
	// Of the block list alone: Limit is how many packets a second each source may
	// send, Burst how many of them at once; 0 drops all, or leaves the burst to the
	// list. Monitor drops none and counts them, DryRun counts what would be dropped.
	Limit, Burst    uint32
	Monitor, DryRun bool
}

// AddressList is the block list or the allow list.
type AddressList interface {
	Add(ctx context.Context, e Entry) (*ironpostv1.BlockResponse, error)
	Remove(ctx context.Context, p netip.Prefix) (*ironpostv1.BlockResponse, error)
	// List returns a page, in the order of the networks.
	List(ctx context.Context, p Page) (*ironpostv1.ListBlocksResponse, error)
}

// Page says what of a list is wanted. The zero value of a field asks for no less.
type Page struct {
	// After is the network before the first one; Skip leaves so many more out.
	After netip.Prefix
	Skip  int
	// Limit is how many at most; with 0 only the total is asked for.
	Limit int
	// Within is a network that those wanted lie in, or contain.
	Within netip.Prefix
	// Source is who asked for them, List the imported list that they are on.
	Source, List string
}

// Importer is an AddressList that takes lists of millions.
type Importer interface {
	// Import puts networks on a list. Those that are never blocked are named in
	// the response, at most MaxProblems, and do not stop the others. When it
	// returns they are in force and on the disk; an error says that nothing was
	// changed.
	Import(ctx context.Context, in Import) (*ironpostv1.ImportResponse, error)
	// Lists returns the lists, by name.
	Lists(ctx context.Context) ([]*ironpostv1.BlockList, error)
	// RemoveList ends a list and returns what it was.
	RemoveList(ctx context.Context, name string) (*ironpostv1.BlockList, error)
}

// Import is what is to be put on a list.
type Import struct {
	// List will hold the networks and no others; "" adds them to DefaultList.
	List string
	// TTL is how long they stay; 0 leaves that to the list.
	TTL    time.Duration
	Reason string
	// DryRun says what would be done.
	DryRun bool
	// Networks are in no order, some perhaps more than once, and checked for
	// nothing. They belong to the Importer.
	Networks Networks
}

// Checker says what would happen to the packets of an address.
type Checker interface {
	Check(ctx context.Context, p netip.Prefix) (*ironpostv1.CheckResponse, error)
}

// Mode reads and changes the mode of the host.
type Mode interface {
	GetMode(ctx context.Context) (*ironpostv1.ModeResponse, error)
	// SetMode changes the mode; a confirm time above 0 makes it fall back after
	// that time unless ConfirmMode is called before.
	SetMode(ctx context.Context, mode string, confirm time.Duration) (*ironpostv1.ModeResponse, error)
	// ConfirmMode makes the waiting change final; ErrConflict when none waits.
	ConfirmMode(ctx context.Context) (*ironpostv1.ModeResponse, error)
}

// Configuration shows and reloads the configuration in force.
type Configuration interface {
	// ShowConfig returns every value with its origin; secrets are hidden.
	ShowConfig(ctx context.Context) ([]*ironpostv1.ConfigValue, error)
	ReloadConfig(ctx context.Context) (*ironpostv1.ReloadConfigResponse, error)
}

// Filters are the packet filters of the interfaces.
type Filters interface {
	// Filters describes the filters of the named interfaces, or all; one that is
	// not watched is ErrNotFound. So do the others, after the change.
	Filters(ctx context.Context, names []string) (*ironpostv1.FiltersResponse, error)
	AttachFilters(ctx context.Context, names []string) (*ironpostv1.FiltersResponse, error)
	DetachFilters(ctx context.Context, names []string) (*ironpostv1.FiltersResponse, error)
	DumpFilter(ctx context.Context, r *ironpostv1.DumpFilterRequest) (*ironpostv1.DumpFilterResponse, error)
	// CaptureDropped calls send with packets as they are dropped, and at the end
	// with the counts alone. It returns the error of send.
	CaptureDropped(ctx context.Context, r *ironpostv1.CaptureRequest, send func(*ironpostv1.CaptureResponse) error) error
}
