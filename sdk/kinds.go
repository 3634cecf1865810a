package sdk

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// LogParser turns raw records of one format into log events.
type LogParser interface {
	// Format names the format: "syslog", "json". Routes and sources refer to it.
	Format() string
	// Parse reads one record. raw is valid until Parse returns; out is empty on
	// entry and may alias raw. An error leaves the record unparsed: it is kept
	// with the error's code (see Coder) and counted.
	//
	// The SDK has already set aside what no text parser should see: records
	// that are empty, cut, not UTF-8, or contain NUL. It completes Stream,
	// Sequence, ObservedTime, and Time when it is zero.
	Parse(raw event.RawLog, out *event.LogEvent) error
}

// Coder is an error with a stable code, such as "bad_pri". Errors without one
// count as "parse_error".
type Coder interface {
	error
	Code() string
}

// ParseFunc makes a LogParser of a function.
func ParseFunc(format string, parse func(raw event.RawLog, out *event.LogEvent) error) LogParser {
	return parseFunc{format, parse}
}

type parseFunc struct {
	format string
	parse  func(event.RawLog, *event.LogEvent) error
}

func (p parseFunc) Format() string                                    { return p.format }
func (p parseFunc) Parse(raw event.RawLog, out *event.LogEvent) error { return p.parse(raw, out) }

// Detector looks at events and raises alerts.
type Detector interface {
	// Detect examines one batch. The batch and its events are valid until
	// Detect returns. raise encodes the alert at once, so that it may be
	// reused; the events that it cites must not be. An error means that the
	// batch could not be examined: it is logged and counted, and the batch
	// counts as done.
	Detect(ctx context.Context, batch Batch, raise func(*event.AlertEvent)) error
}

// Consumer narrows what a Detector or a Sink receives. Without it a Detector
// receives log events and packet summaries, a Sink alerts and actions. It is
// asked before and again after the configuration is in place.
type Consumer interface {
	Consumes() []event.Kind
}

// Stateful is a Detector whose memory must survive its death.
//
// Restore is called once, before the first batch, with what Save reported in all
// lives before; not at all when there was nothing. Values are valid until it
// returns. Save is called between batches: it reports what changed since the
// last Save, and the SDK then declares every batch so far durable.
type Stateful interface {
	Restore(entries iter.Seq2[string, []byte]) error
	Save(changes *Changes)
}

// Changes collects the changes of a plugin's state, at most 1 MiB at a time
// and 64 MiB in all. A change that would exceed the former waits for the next
// Save, which follows at once: Put reports false and the entry stays dirty. An
// entry that is larger than 1 MiB by itself, or whose key is empty or longer
// than 4 KiB, can never be kept: Put reports false, and the counter
// state_refused shows it to operators.
type Changes struct {
	put     func(key string, value []byte, deleted bool)
	bytes   int
	full    bool   // a change was left out
	refused uint64 // changes that can never be kept
}

// Put sets a key; value is copied. It reports whether the change was taken.
func (c *Changes) Put(key string, value []byte) bool { return c.add(key, value, false) }

// Delete removes a key. It reports whether the change was taken.
func (c *Changes) Delete(key string) bool { return c.add(key, nil, true) }

func (c *Changes) add(key string, value []byte, deleted bool) bool {
	size := len(key) + len(value) + changeOverhead
	switch {
	case size > maxChanges || key == "" || len(key) > maxStateKey:
		c.refused++
		return false
	case c.bytes+size > maxChanges:
		c.full = true
		return false
	}
	c.bytes += size
	c.put(key, value, deleted)
	return true
}

// NewChanges returns Changes that hand each change to put; for tests.
func NewChanges(put func(key string, value []byte, deleted bool)) *Changes {
	return &Changes{put: put}
}

const (
	maxChanges     = 1 << 20
	maxStateKey    = 4 << 10
	changeOverhead = 16
)

// PolicyEnforcer decides what to do about an alert.
type PolicyEnforcer interface {
	// Decide proposes intents. An Intent must depend on the alert and the
	// configuration alone, so that deciding twice proposes the same.
	Decide(ctx context.Context, alert *event.AlertEvent, propose func(Intent)) error
}

// Intent is an answer that an enforcer proposes. The host checks mode, rails
// and limits, writes it to its journal, and only then has it carried out.
type Intent struct {
	// Action is "block" (the host blocks the address Target), "limit" (it lets
	// pass so many packets a second from it as the detail limit says), "notify" (a
	// decision worth recording, with no effect), or a verb that the enforcer
	// itself carries out through Executor: "evidence" (collects, changes nothing),
	// "net-isolate", "pause", "stop" or "kill". Intents about one target are carried
	// out in the order in which they are proposed.
	//
	// A block with the detail forgeable = "limit" becomes a limit, of the details
	// limit and limit_ttl_seconds, where the evidence may be forged and the operator
	// did not allow blocks for that.
	Action string
	Target string
	// Reason is one sentence for people.
	Reason string
	// TTLSeconds is when the effect must end; every effect needs one.
	TTLSeconds int64
	Details    []event.Field
}

// Sink stores or forwards events.
type Sink interface {
	// Write takes one batch, valid until Write returns. Writing a batch again
	// after a restart must not duplicate it: events carry stable ids. An error
	// keeps the batch: it is tried again after a pause, and the host holds back
	// or spools what follows.
	Write(ctx context.Context, batch Batch) error
}

// Syncer is a Sink that buffers. Sync makes everything written so far durable;
// without it a batch counts as durable when Write returns.
type Syncer interface {
	Sync(ctx context.Context) error
}

// Querier is a Sink that can give events back. All of them answer alike: sdktest.TestStore
// holds them to what is written here.
type Querier interface {
	// Query yields matching events, newest first, until yield returns false. Events of
	// one time come in an order that does not change. It is called concurrently with
	// Write, and sees all that was written before it began. ErrQuery: the query cannot
	// be answered as it is.
	Query(ctx context.Context, q Query, yield func(Record) bool) error
	// UpdateAlert sets the state of an alert ("open", "acknowledged", "closed"), keeps
	// who did it, when and why, and reports whether the sink has the alert. id may be a
	// prefix of at least 8 characters that only one alert has. It is durable when it
	// returns. ErrQuery: there is no such state, or several such alerts.
	UpdateAlert(ctx context.Context, id, state, actor, note string) (bool, error)
}

// ErrQuery says that a Querier cannot answer a query; what wraps it says what is wrong.
var ErrQuery = errors.New("bad query")

// Query selects stored events. Conditions that a kind has nothing for do not apply to it.
type Query struct {
	Kind event.Kind
	// ID, when set, selects events by their id or a prefix of it, of at least 8
	// characters. Of log events and packet summaries it is event.ID.String: a whole one,
	// or the beginning of the stream's part.
	ID string
	// Since and Until bound the event time, UTC nanoseconds, both included; 0 is open.
	Since, Until int64
	// MinSeverity selects alerts, log events, and packages by their worst finding.
	MinSeverity event.Severity
	// State is open, acknowledged or closed; "" is any. It selects alerts.
	State string
	// Equal are fields or entities that must all have these values:
	//   - of an alert id, rule_id, detector, group and trace_id, or any of its entities;
	//   - of an action id, alert_id, enforcer, action, target, outcome, mode and
	//     trace_id, or the first detail of that name;
	//   - of a log event what LogEvent.Get knows;
	//   - of a packet summary interface, scope, src_ip, dst_ip and dst_port;
	//   - of a package id, package, version, ecosystem, purl, in_use (true or false),
	//     cve (any name of a finding) and target: the target, what people call it, or the
	//     beginning of a container's id. Of packages any other is ErrQuery.
	Equal []event.Field
	// Text selects log events by their message, and alerts by title, description, the
	// values of entities and details, and the messages of the log events that they
	// cite. It holds words, phrases in double quotes, and words or phrases with * at the
	// end, which stands for the rest of the last word; an event must contain all of
	// them, in any order. A word is a run of letters and digits; neither case nor
	// accents count, and everything else only separates words: 10.0.0.7 is the phrase
	// of four numbers. A text without any word is ErrQuery, and so is one for another
	// kind. See package sdk/search.
	Text  string
	Limit int
	Skip  int
}

// Record is one stored event; exactly one pointer is set. State is the state of
// an alert.
type Record struct {
	Log    *event.LogEvent
	Packet *event.PacketEvent
	Alert  *event.AlertEvent
	Action *event.ActionEvent
	// Inventory is what is known of a package now.
	Inventory *event.InventoryEvent
	State     string
	// History are the changes of the alert's state, the newest first; at least the
	// last 100 are kept.
	History []AlertChange
}

// AlertChange is one change of an alert's state.
type AlertChange struct {
	Time time.Time
	// State is what it became, Actor who made it so, and Note why.
	State, Actor, Note string
}

// Scanner inspects a target and writes documents about it.
type Scanner interface {
	// Scan inspects a path, an image or a container and writes one document, such
	// as an SBOM, to out. It is called concurrently.
	Scan(ctx context.Context, req ScanRequest, out io.Writer) (format string, err error)
}

// ScanRequest says what to scan.
type ScanRequest struct {
	// Target is what a person named.
	Target string
	// Document is the form that is wanted: "report" (packages, findings, problems),
	// "cyclonedx", "spdx", or what else the scanner knows; "" is its own.
	Document string
	// Against names another target, when only the differences from it are wanted.
	Against string
	// Epoch is the time that the document is to say it was written at, as in the
	// environment variable SOURCE_DATE_EPOCH: seconds since 1970; "" is now.
	Epoch string
	// Platform says which of an image's is meant, as OS/ARCH or OS/ARCH/VARIANT; "" is that
	// of the machine.
	Platform string
	// Progress tells the person who waits what is being done. It is safe for
	// concurrent use.
	Progress func(text string)
}

// AdvisoryKeeper is a Scanner with a database of advisories that it keeps itself.
// Both write one JSON document that says what there is now, by ecosystem.
type AdvisoryKeeper interface {
	// ImportAdvisories takes over what files and directories hold. What came from
	// the same source before and is not in it any more goes. It is all or nothing.
	ImportAdvisories(ctx context.Context, sources []AdvisorySource, progress func(text string), out io.Writer) error
	// AdvisoryStatus says what there is, and how old it is. For sources that were
	// fetched, "sources" has objects with the fields of AdvisorySource: "name", "etag"
	// and "last_modified"; "mirrors" is what the configuration says to fetch, "wanted" of
	// which ecosystems, "signature" the signature of the bundle that is installed.
	AdvisoryStatus(ctx context.Context, out io.Writer) error
}

// AdvisorySource is a file or directory of advisories. The host fetches what comes from
// elsewhere, so that the scanner needs no network.
type AdvisorySource struct {
	// Path is where it is; "" of one that is Unchanged.
	Path string
	// Name is the URL that it came from, "" of what is local.
	Name string
	// ETag and LastModified are what the server said of it; they are asked for by
	// AdvisoryStatus.
	ETag, LastModified string
	// Unchanged says that what came from Name is current still.
	Unchanged bool
}

// AdvisoryBundler is an AdvisoryKeeper whose database can be made in one place, signed, and
// installed in others.
type AdvisoryBundler interface {
	// InstallAdvisories puts a bundle in the place of what there is, if it is signed by whom the
	// configuration trusts, and, unless allowOlder, not older than what there is. It
	// writes the document of AdvisoryStatus.
	InstallAdvisories(ctx context.Context, bundle, signature string, allowOlder bool, progress func(text string), out io.Writer) error
	// ExportAdvisories writes the database as a bundle. What was written before an
	// error is worth nothing.
	ExportAdvisories(ctx context.Context, out io.Writer) error
}

// Watcher is a Scanner that also looks by itself while the host runs.
type Watcher interface {
	// Watch is called once, when the plugin is configured, and works until ctx is
	// done, which is its normal end. An error ends the plugin; nil says that there is
	// nothing more to look at.
	//
	// What was handed over and is not durable when the plugin dies is lost: Watch
	// begins anew and hands it over again. Alerts have stable ids, so that the host
	// takes each once, and inventory replaces itself.
	Watch(ctx context.Context, out Findings) error
}

// Findings takes what a Watcher finds. It is safe for concurrent use. What is handed
// over is copied, and leaves for the host at once, or when the host has taken over some
// of what is under way.
type Findings interface {
	// Raise hands an alert over; it waits while the host is behind. RuleID and Title
	// are needed. The SDK completes ID (AlertID of RuleID, Group and no event, where
	// it is empty), Time, ObservedTime, Detector and Provenance. The same finding must
	// have the same ID whenever it is raised. Set ProvenanceContainer for what a
	// container could have written: the provenance is that of the host where none is set.
	Raise(ctx context.Context, alert *event.AlertEvent) error
	// Record hands over what is known of one package; it waits while the host is
	// behind. Target and PURL are needed; of what is Removed, a Target alone says that
	// all of it is gone. The SDK completes ID and Time, and leaves out findings,
	// locations and licenses of a record over event.MaxRecord, which Omitted counts.
	Record(ctx context.Context, e *event.InventoryEvent) error
	// Sync returns when everything handed over so far is durable in the host.
	Sync(ctx context.Context) error
}

// Batch is what a Detector or a Sink receives: events of one kind from one
// stream, in order.
//
// The iterators decode in place and reuse one event: what they yield, and all
// its strings, is valid until the next step. Clone to keep it. A record that
// cannot be decoded is skipped and counted.
type Batch struct {
	Kind   event.Kind
	Stream *event.Stream
	// Count is the number of records.
	Count int

	records records
}

// Logs iterates over the log events of the batch; empty for other kinds.
func (b Batch) Logs() iter.Seq[*event.LogEvent] { return b.records.logs(b) }

// Packets iterates over the packet summaries of the batch.
func (b Batch) Packets() iter.Seq[*event.PacketEvent] { return b.records.packets(b) }

// Alerts iterates over the alerts of the batch.
func (b Batch) Alerts() iter.Seq[*event.AlertEvent] { return b.records.alerts(b) }

// Actions iterates over the actions of the batch.
func (b Batch) Actions() iter.Seq[*event.ActionEvent] { return b.records.actions(b) }

// Inventory iterates over what the batch says of packages, in order.
func (b Batch) Inventory() iter.Seq[*event.InventoryEvent] { return b.records.inventory(b) }
