package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/bus"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/roster"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// backend is what the control API talks to.
func (d *daemon) backend() control.Backend {
	return control.Backend{
		Status: d, Plugins: d, Logs: d, Changer: d, Remover: d, Trust: d, Rules: d, Events: d, Store: d, Config: d,
		Quarantine: d, Filters: d, Guard: answers{d}, Silences: d.silences,
		Blocks: d.responder.Blocks(), BlockRules: d.responder.Rules(), Allows: d.responder.Allows(), Checker: d.responder, Mode: d.responder,
	}
}

// wrap gives the roster's errors the sentinels of the control API.
func wrap(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, roster.ErrNotFound):
		return fmt.Errorf("%w: %w", control.ErrNotFound, err)
	case errors.Is(err, roster.ErrOtherBytes), errors.Is(err, roster.ErrShipped):
		return fmt.Errorf("%w: %w", control.ErrConflict, err)
	case errors.Is(err, roster.ErrRefused), errors.Is(err, ErrInvalid):
		if r := refusalOf(err); r != nil {
			err = fmt.Errorf("%s: %s; observed: %s; wanted: %s; mend: %s", r.Code, r.Rule, r.Observed, r.Wanted, r.Mend)
		}
		return fmt.Errorf("%w: %w", control.ErrInvalid, err)
	}
	return err
}

// Status sums up the host.
func (d *daemon) Status(context.Context) (*pb.StatusResponse, error) {
	stats := &d.pipeline.Stats
	r := &pb.StatusResponse{
		Version: d.version, Mode: string(d.responder.Mode()), HostId: d.hostID, Pid: uint32(pid()), Started: timestamppb.New(d.started),
		Plugins: make(map[string]uint32), Received: stats.Received.Load(), Parsed: stats.Parsed.Load(), Unparsed: stats.Unparsed.Load(),
		Alerts: d.alerts.raised.Load(), Interfaces: d.network.status(), Warnings: d.warnings(),
	}
	usage(r)
	records, _, _ := d.quarantine.Counts()
	r.Quarantined = uint32(records)
	r.Actions, r.Guard = d.guard.Decided(), d.guard.State()
	for _, c := range d.responder.Counts() {
		r.Actions += c.Value
	}
	for _, p := range d.roster.List() {
		r.Plugins[p.State]++
	}
	for _, drop := range stats.Drops() {
		r.Dropped = append(r.Dropped, &pb.Drop{Stage: drop.Stage, Reason: drop.Reason, Count: drop.Count})
	}
	reasons := stats.Reasons()
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		r.UnparsedReasons = append(r.UnparsedReasons, &pb.Count{Name: name, Value: reasons[name]})
	}
	for _, s := range stats.Streams() {
		r.Streams = append(r.Streams, &pb.StreamStatus{Name: s.Name, Plugin: s.Plugin, Parser: s.Parser, Records: s.Records.Load()})
	}
	r.Attributions = attributions(d.residents.Stats())
	r.Shared = sharedStatus(d.shared.Status())
	r.Fleet = d.fleetStatus()
	for _, g := range d.pipeline.Gaps() {
		gap := &pb.CoverageGap{Plugin: g.Plugin, From: timestamppb.New(g.From), Events: g.Events, Reason: g.Reason}
		if !g.To.IsZero() {
			gap.To = timestamppb.New(g.To)
		}
		r.CoverageGaps = append(r.CoverageGaps, gap)
	}
	return r, nil
}

// warnings are what stands in the way of full coverage.
func (d *daemon) warnings() []string {
	d.mu.RLock()
	current := d.current
	d.mu.RUnlock()
	out := append(d.responder.Warnings(), d.guard.Warnings()...)
	if text := d.trail.warning(); text != "" {
		out = append(out, text)
	}
	for _, s := range current.UnknownSections() {
		text := fmt.Sprintf("Section [%s] of the configuration belongs to no plugin that is here.", s.Name)
		if s.Nearest != "" {
			text += fmt.Sprintf(" Did you mean [%s]?", s.Nearest)
		}
		out = append(out, text)
	}
	if err := d.residents.Visible(); err != nil && len(d.settings().EBPF.Interfaces) > 0 {
		out = append(out, fmt.Sprintf("Alerts do not name the processes and containers behind addresses: %v.", err))
	}
	if active, held := d.silences.Counts(); active > 0 {
		out = append(out, fmt.Sprintf("Alerts are held back: by %d silences, %d since the start; see: ironpost alerts silence list", active, held))
	}
	out = append(out, d.leftOut.sentences()...)
	d.network.each(func(name string, filter *xdp.Filter, err error) {
		switch {
		case err != nil:
			out = append(out, fmt.Sprintf("Interface %s is not watched: %v", name, err))
		case filter.Unpinned() != "":
			out = append(out, fmt.Sprintf("The packet filter on %s ends with the host: %s", name, filter.Unpinned()))
		}
	})
	for _, p := range d.roster.List() {
		switch {
		case p.Code != "":
			out = append(out, fmt.Sprintf("Plugin %s is %s (%s): %s", p.Name, p.State, p.Code, p.LastError))
		case p.State == "running" && p.Health != "ok" && p.Health != "unknown":
			out = append(out, fmt.Sprintf("Plugin %s: %s", p.Name, p.Health))
		}
	}
	return out
}

// ListPlugins looks at the directories again and lists every candidate.
func (d *daemon) ListPlugins(ctx context.Context) ([]*pb.PluginStatus, error) {
	if err := d.roster.Scan(ctx); err != nil {
		return nil, err
	}
	return d.roster.List(), nil
}

// KnownPlugins lists every candidate that is known already.
func (d *daemon) KnownPlugins(context.Context) ([]*pb.PluginStatus, error) {
	return d.roster.List(), nil
}

// PluginLogs shows what a plugin writes to its standard error.
func (d *daemon) PluginLogs(ctx context.Context, name string, last int, follow bool, emit func([]*pb.PluginLogLine) error) error {
	return wrap(d.roster.Logs(ctx, name, last, follow, emit))
}

// PluginInfo looks at the directories again and describes one plugin.
func (d *daemon) PluginInfo(ctx context.Context, name string) (*pb.PluginInfoResponse, error) {
	if err := d.roster.Scan(ctx); err != nil {
		return nil, err
	}
	info, err := d.roster.Info(ctx, name)
	return info, wrap(err)
}

// EnablePlugin pins, grants and starts a plugin.
func (d *daemon) EnablePlugin(ctx context.Context, name, digest string) (*pb.PluginInfoResponse, error) {
	if err := d.roster.Enable(ctx, name, digest, d.reconfigure); err != nil {
		return nil, wrap(err)
	}
	_ = d.roster.Ready(ctx) // the answer shows how far it came
	return d.PluginInfo(ctx, name)
}

// DisablePlugin drains and ends a plugin.
func (d *daemon) DisablePlugin(ctx context.Context, name string) (*pb.PluginInfoResponse, error) {
	if err := d.roster.Disable(ctx, name); err != nil {
		return nil, wrap(err)
	}
	return d.PluginInfo(ctx, name)
}

// ReloadPlugin replaces the process of a plugin.
func (d *daemon) ReloadPlugin(ctx context.Context, name string) (*pb.PluginInfoResponse, error) {
	if err := d.roster.Reload(ctx, name); err != nil {
		return nil, wrap(err)
	}
	return d.PluginInfo(ctx, name)
}

// ListRules lists the rules of all detectors.
func (d *daemon) ListRules(ctx context.Context) ([]*pb.Rule, error) {
	var out []*pb.Rule
	conns := d.roster.Find(func(p *pb.Description) bool { return slices.Contains(p.Kinds, "detector") })
	for _, name := range slices.Sorted(maps.Keys(conns)) {
		rules, err := conns[name].ListRules(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", name, err)
		}
		out = append(out, rules...)
	}
	slices.SortFunc(out, func(a, b *pb.Rule) int { return strings.Compare(a.Id, b.Id) })
	return out, nil
}

// Tail shows events as they pass.
func (d *daemon) Tail(ctx context.Context, kinds []pb.Kind, emit func(*pb.Frame)) error {
	wants := func(k pb.Kind) bool { return len(kinds) == 0 || slices.Contains(kinds, k) }
	var running sync.WaitGroup
	defer running.Wait()
	follow := func(t *bus.Topic) {
		tap, remove := t.Tap()
		running.Go(func() {
			defer remove()
			for {
				select {
				case f := <-tap.Frames():
					emit(f)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	if wants(pb.Kind_KIND_LOG) {
		follow(&d.pipeline.Logs)
	}
	if wants(pb.Kind_KIND_PACKET) {
		follow(&d.pipeline.Packets)
	}
	if wants(pb.Kind_KIND_ALERT) || wants(pb.Kind_KIND_ACTION) {
		running.Go(func() { d.pipeline.FollowJournal(ctx, wants, emit) })
	}
	if wants(pb.Kind_KIND_INVENTORY) {
		running.Go(func() { d.pipeline.FollowInventory(ctx, emit) })
	}
	<-ctx.Done()
	return nil
}

// defaultStore is the sink that is asked when nobody names another one.
const defaultStore = "sink-sqlite"

// stores are the sinks that can be asked, by name.
func (d *daemon) stores() map[string]*link.Conn {
	return d.roster.Find(func(p *pb.Description) bool { return p.Queries })
}

// answering returns the name of the store that answers: the one of a name, for "" the
// default one, or else the first.
func answering(stores map[string]*link.Conn, name string) (string, error) {
	names := slices.Sorted(maps.Keys(stores))
	switch {
	case len(names) == 0:
		return "", fmt.Errorf("%w: no sink that keeps events is running; enable %s", control.ErrNotSupported, defaultStore)
	case name != "" && stores[name] == nil:
		return "", fmt.Errorf("%w: no store %q is running; those that can be asked are %s", control.ErrInvalid, name, strings.Join(names, ", "))
	case name != "":
		return name, nil
	case stores[defaultStore] != nil:
		return defaultStore, nil
	}
	return names[0], nil
}

// Query asks the sink that keeps events.
func (d *daemon) Query(ctx context.Context, q *pb.QueryRequest, send func(*pb.Batch) error) error {
	stores := d.stores()
	name, err := answering(stores, q.GetStore())
	if err != nil {
		return err
	}
	var sendErr error
	err = stores[name].Query(ctx, q, func(b *pb.Batch) bool {
		sendErr = send(b)
		return sendErr == nil
	})
	if sendErr != nil {
		return sendErr
	}
	return err // as it is: a status that is wrapped or joined is shown with its code
}

// fullID is the length of an alert's id. Less of it may mean another alert in another store.
const fullID = 32

// UpdateAlert changes the state of an alert in the store that answers, and then in the others
// but for those that are to be left out: each that is away takes its time to say so.
func (d *daemon) UpdateAlert(ctx context.Context, u *pb.UpdateRequest) (*pb.UpdateResponse, error) {
	stores := d.stores()
	first, err := answering(stores, u.GetStore())
	if err != nil {
		return nil, err
	}
	found, err := stores[first].UpdateAlert(ctx, u)
	r := &pb.UpdateResponse{Found: found}
	if err != nil || !found || len(u.GetAlertId()) != fullID {
		return r, err
	}
	delete(stores, first)
	for _, name := range slices.Sorted(maps.Keys(stores)) {
		if slices.Contains(u.GetLeaveOut(), name) {
			r.Missed = append(r.Missed, name+": left out, as it failed just before")
			continue
		}
		// One that does not keep this alert has nothing to change.
		if _, err := stores[name].UpdateAlert(ctx, u); err != nil {
			r.Missed = append(r.Missed, name+": "+status.Convert(err).Message())
		}
	}
	return r, nil
}

// ShowConfig returns every value with its origin.
func (d *daemon) ShowConfig(context.Context) ([]*pb.ConfigValue, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return configValues(d.current), nil
}

// reloadPlugins gives plugins their new configuration. One that cannot take it,
// and goes on with the old one, is named in the log.
func (d *daemon) reloadPlugins(ctx context.Context, names map[string]bool) {
	var reloading sync.WaitGroup
	for name := range names {
		reloading.Go(func() {
			// One that does not run takes it when it starts.
			if err := d.roster.Reload(ctx, name); err != nil && !errors.Is(err, roster.ErrNotFound) {
				d.log.Error("a plugin does not take its new configuration", "plugin", name, "error", err)
			}
		})
	}
	reloading.Wait()
}

func configValues(c *config.Config) []*pb.ConfigValue {
	var out []*pb.ConfigValue
	for _, s := range c.Origins() {
		out = append(out, &pb.ConfigValue{Key: s.Key, Value: s.Text(), Origin: s.Origin.String()})
	}
	return out
}

// ReloadConfig validates everything first, then applies what can be applied and
// names the rest.
func (d *daemon) ReloadConfig(ctx context.Context) (*pb.ReloadConfigResponse, error) {
	d.reloadMu.Lock()
	defer d.reloadMu.Unlock()
	options := d.options()
	options.Known = d.roster.Sections()
	next, err := config.Load(options)
	if err == nil {
		if bad := next.Problems().Errors(); bad != nil {
			err = bad
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", control.ErrInvalid, err)
	}
	d.mu.Lock()
	before := d.current
	d.current = next
	d.mu.Unlock()
	d.roster.Configure(next)
	out := &pb.ReloadConfigResponse{}
	restart := make(map[string]bool)
	for _, c := range config.Diff(before, next) {
		switch {
		case c.Owner != config.HostOwner:
			restart[c.Owner] = true
			out.Applied = append(out.Applied, c.Key)
		case c.Live:
			out.Applied = append(out.Applied, c.Key)
		default:
			out.NeedsRestart = append(out.NeedsRestart, c.Key)
		}
	}
	s := next.Host()
	d.guard.Reconfigure(s.Guard)
	d.shared.SetTimeout(s.Fleet.Timeout)
	if err := d.responder.Reconfigure(policy(s)); err != nil {
		return nil, err
	}
	d.pipeline.SetRoutes(s.LogPipeline.Routes)
	setLevel(d.log, s.General.LogLevel)
	if err := d.roster.Reconsider(ctx); err != nil {
		return nil, err
	}
	d.reloadPlugins(ctx, restart)
	return out, nil
}
