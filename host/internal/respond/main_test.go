package respond

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/expiry"
	"github.com/ironpost/ironpost/host/internal/respond/rail"
	"github.com/ironpost/ironpost/host/internal/state"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tape is a real journal that also shows the actions that were appended.
type tape struct {
	*state.Journal
	mu      sync.Mutex
	actions []*pb.ActionEvent
	broken  error
}

func (t *tape) Append(kind uint8, data []byte) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken != nil {
		return 0, t.broken
	}
	var a pb.ActionEvent
	if pb.Kind(kind) == pb.Kind_KIND_ACTION && proto.Unmarshal(data, &a) == nil {
		t.actions = append(t.actions, &a)
	}
	return t.Journal.Append(kind, data)
}

func (t *tape) all() []*pb.ActionEvent {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.actions)
}

// last returns the newest action, nil when there is none.
func (t *tape) last() *pb.ActionEvent {
	all := t.all()
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// hand is a clock that is set by hand. It begins so that an error of a zero
// value shows.
type hand struct {
	wall time.Time
	boot time.Duration
	id   string
}

func newHand() *hand {
	return &hand{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), 100 * time.Hour, "boot-1"}
}

func (h *hand) pass(d time.Duration) { h.wall, h.boot = h.wall.Add(d), h.boot+d }

func (h *hand) clock() expiry.Clock {
	return expiry.Clock{Wall: func() time.Time { return h.wall }, Boot: func() time.Duration { return h.boot }, BootID: h.id}
}

// filter remembers what it was told.
type filter struct {
	name string

	mu       sync.Mutex
	entries  map[netip.Prefix]xdp.Entry
	allow    []netip.Prefix
	rules    []xdp.Rule
	largest  int // of a call with many
	room     int // for entries; 0 is without end
	ends     map[netip.Prefix]time.Time
	simulate bool
	calls    []string
	fail     map[string]error // by call
}

func newFilter(name string) *filter {
	return &filter{name: name, entries: make(map[netip.Prefix]xdp.Entry), simulate: true, fail: make(map[string]error)}
}

func (f *filter) called(name string) error {
	f.calls = append(f.calls, name)
	return f.fail[name]
}

func (f *filter) Interface() string { return f.name }

func (f *filter) Put(e xdp.Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("put"); err != nil {
		return err
	}
	e.Hits = f.entries[e.Prefix].Hits
	f.entries[e.Prefix] = e
	return nil
}

func (f *filter) Replace(entries []xdp.Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("replace"); err != nil {
		return err
	}
	clear(f.entries)
	for _, e := range entries {
		f.entries[e.Prefix] = e
	}
	return nil
}

func (f *filter) PutMany(entries []xdp.Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("put many"); err != nil {
		return err
	}
	if f.room > 0 && len(f.entries)+len(entries) > f.room {
		return xdp.ErrFull
	}
	for _, e := range entries {
		e.Hits = f.entries[e.Prefix].Hits
		f.entries[e.Prefix] = e
	}
	f.largest = max(f.largest, len(entries))
	return nil
}

func (f *filter) PutNew(entries []xdp.Entry) error {
	for _, e := range entries {
		if f.hasCounted(e.Prefix) {
			return fmt.Errorf("%s is not new", e.Prefix)
		}
	}
	return f.PutMany(entries)
}

// hasCounted reports whether an entry is there whose counts would be lost.
func (f *filter) hasCounted(p netip.Prefix) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.entries[p].Hits > 0
}

func (f *filter) RemoveMany(prefixes []netip.Prefix) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range prefixes {
		delete(f.entries, p)
	}
	f.largest = max(f.largest, len(prefixes))
	return f.called("remove")
}

func (f *filter) Hits(prefixes []netip.Prefix) ([]uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]uint64, len(prefixes))
	for i, p := range prefixes {
		out[i] = f.entries[p].Hits
	}
	return out, f.fail["hits"]
}

func (f *filter) ReplaceAllow(p []netip.Prefix) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("allow"); err != nil {
		return err
	}
	f.allow = slices.Clone(p)
	return nil
}

func (f *filter) SetRules(rules []xdp.Rule) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("rules"); err != nil {
		return err
	}
	f.rules = slices.Clone(rules)
	return nil
}

func (f *filter) Rules() ([]xdp.Rule, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rules), f.fail["read rules"]
}

func (f *filter) SetSimulate(on bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("simulate"); err != nil {
		return err
	}
	f.simulate = on
	return nil
}

// drops reports whether the filter would drop packets of an address.
func (f *filter) drops(s string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := netip.MustParseAddr(s)
	contains := func(p netip.Prefix) bool { return p.Contains(a) }
	if f.simulate || slices.ContainsFunc(f.allow, contains) {
		return false
	}
	for p := range f.entries {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// simulates reports whether the filter drops nothing.
func (f *filter) simulates() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.simulate
}

func (f *filter) hit(s string, n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := host(netip.MustParseAddr(s))
	e := f.entries[p]
	e.Hits = n
	f.entries[p] = e
}

var _ Filter = (*xdp.Filter)(nil)

// system is a machine with one of each rail.
func system() rail.Finder {
	return rail.Finder{
		Root: fstest.MapFS{
			"proc/net/route": {Data: []byte("Iface Destination Gateway Flags\n" +
				"eth0\t00000000\t010200C0\t0003\t0\n")}, // 192.0.2.1
			"proc/net/ipv6_route": {Data: []byte("00000000000000000000000000000000 00 00000000000000000000000000000000 00 " +
				"20010db8000000000000000000000001 00000400 00000002 00000000 00000003 eth0\n")},
			"etc/resolv.conf":             {Data: []byte("nameserver 192.0.2.53\n")},
			"etc/systemd/timesyncd.conf":  {Data: []byte("[Time]\nNTP=192.0.2.123 ntp.example.net\n")},
			"run/systemd/sessions/7":      {Data: []byte("REMOTE=1\nREMOTE_HOST=192.0.2.77\nSTATE=active\nLEADER=4711\n")},
			"run/systemd/sessions/8":      {Data: []byte("REMOTE=1\nREMOTE_HOST=192.0.2.78\nSTATE=active\nLEADER=4712\n")}, // gone
			"proc/4711/comm":              {Data: []byte("sshd\n")},
			"proc/4711/cmdline":           {Data: []byte("sshd: alice [priv]\x00")},
			"proc/net/tcp":                {},
			"run/systemd/netif/leases/2":  {Data: []byte("ROUTER=192.0.2.2\nNTP=192.0.2.124\n")},
			"run/systemd/netif/leases/.x": {Data: []byte("nonsense")},
		},
		Interfaces: func() ([]net.Addr, error) {
			return []net.Addr{&net.IPNet{IP: net.IPv4(192, 0, 2, 10), Mask: net.CIDRMask(24, 32)}}, nil
		},
	}
}

// world is a Responder with all that it works with; restart gives it another
// life on the same disk.
type world struct {
	t       *testing.T
	dir     string
	clock   *hand
	config  Config
	store   *state.Store
	journal *tape
	r       *Responder
}

func policy(mode config.Mode) Policy {
	return Policy{
		Mode: mode,
		Respond: config.Respond{
			Allow:              []netip.Prefix{netip.MustParsePrefix("198.51.100.0/28")},
			TrustedProxies:     []netip.Prefix{netip.MustParsePrefix("198.51.100.128/28")},
			MaxBlocksPerMinute: 30,
			MaxTTL:             24 * time.Hour,
		},
		Pass: []netip.Prefix{netip.MustParsePrefix("198.51.100.64/28")},
	}
}

func newWorld(t *testing.T, mode config.Mode) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), clock: newHand()}
	w.config = Config{Policy: policy(mode), Finder: system()}
	w.start()
	t.Cleanup(w.stop)
	return w
}

func (w *world) start() {
	w.t.Helper()
	var err error
	if w.store, err = state.Open(w.dir, 1<<20); err != nil {
		w.t.Fatal(err)
	}
	history := &History{}
	j, err := state.OpenJournal(filepath.Join(w.dir, "journal"), 1<<20, history.Seed)
	if err != nil {
		w.t.Fatal(err)
	}
	w.journal = &tape{Journal: j}
	c := w.config
	c.Store, c.Journal, c.History = w.store, w.journal, history
	if c.Clock.Wall == nil {
		c.Clock = w.clock.clock()
	}
	if w.r, err = New(c); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stop() {
	if err := errors.Join(w.journal.Close(), w.store.Close()); err != nil {
		w.t.Error(err)
	}
}

func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

// raise remembers and journals an alert, as the host does.
func (w *world) raise(a *pb.AlertEvent) *pb.AlertEvent {
	w.t.Helper()
	w.r.Remember(a)
	data, err := proto.Marshal(a)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.journal.Append(uint8(pb.Kind_KIND_ALERT), data); err != nil {
		w.t.Fatal(err)
	}
	return a
}

// bruteForce is an alert that may lead to a block.
func bruteForce(id, source string, change ...func(*pb.AlertEvent)) *pb.AlertEvent {
	a := &pb.AlertEvent{
		Id: id, RuleId: "ssh_brute_force", TraceId: []byte("0123456789abcdef"),
		Entities: []*pb.Field{{Key: "src_ip", Value: source}, {Key: "user", Value: "root"}},
		Evidence: pb.Evidence_EVIDENCE_CONFIRMED, Provenance: pb.Provenance_PROVENANCE_HOST,
	}
	for _, c := range change {
		c(a)
	}
	return a
}

// block is an intent as enforcer-xdp proposes it.
func block(a *pb.AlertEvent, target string, details ...string) *pb.ActionEvent {
	out := &pb.ActionEvent{Id: "intent-of-" + a.Id, AlertId: a.Id, Action: "block", Target: target, Reason: "SSH Brute Force Attack."}
	for i := 0; i+1 < len(details); i += 2 {
		out.Details = append(out.Details, &pb.Field{Key: details[i], Value: details[i+1]})
	}
	return out
}

const enforcer = "enforcer-xdp"

// decide has an intent decided and returns the newest action.
func (w *world) decide(a *pb.ActionEvent) *pb.ActionEvent {
	w.t.Helper()
	if err := w.r.Decide(w.t.Context(), enforcer, a); err != nil {
		w.t.Fatal(err)
	}
	return w.journal.last()
}

// detailCode returns the detail "code".
func detailCode(a *pb.ActionEvent) string {
	for _, f := range a.GetDetails() {
		if f.Key == "code" {
			return f.Value
		}
	}
	return ""
}
