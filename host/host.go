package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/fleet"
	"github.com/ironpost/ironpost/host/internal/guard"
	"github.com/ironpost/ironpost/host/internal/pipeline"
	"github.com/ironpost/ironpost/host/internal/quarantine"
	"github.com/ironpost/ironpost/host/internal/resident"
	"github.com/ironpost/ironpost/host/internal/respond"
	"github.com/ironpost/ironpost/host/internal/respond/rail"
	"github.com/ironpost/ironpost/host/internal/roster"
	"github.com/ironpost/ironpost/host/internal/sandbox"
	"github.com/ironpost/ironpost/host/internal/shared"
	"github.com/ironpost/ironpost/host/internal/silence"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Config is what the command line says about a run.
type Config struct {
	Sources
	DataDir string
	Socket  string
	Stdout  io.Writer
	Stderr  io.Writer
}

// journalBytes is about how much of the journal is kept.
const journalBytes = 256 << 20

// stopTimeout bounds how long a stopping host waits for what is under way to
// reach the end; it comes again at the next start.
const stopTimeout = 20 * time.Second

// daemon is a running host.
type daemon struct {
	config  Config
	started time.Time
	version string
	hostID  string
	dataDir string // absolute
	log     hclog.Logger

	mu      sync.RWMutex
	current *config.Config

	store *state.Store
	// quarantine holds the records that plugins died of.
	quarantine *quarantine.Store
	journal    *state.Journal
	pool       *pb.Pool
	alerts     *alertBook
	silences   *silence.Book
	inventory  *inventoryBook
	residents  *resident.Finder
	responder  *respond.Responder
	guard      *guard.Guard
	trail      *auditTrail
	pipeline   *pipeline.Pipeline
	shared     *shared.Front
	fleet      *fleet.Exchange
	launcher   *sandbox.Launcher
	roster     *roster.Roster
	leftOut    leftOut
	network    *network
	control    *control.Server

	reloadMu sync.Mutex
	// closers undo, last first, what was opened.
	closers []func()
}

// Run runs the host in the foreground until ctx is done. It returns nil after a
// clean stop: sources stop first, and what they delivered reaches the end.
func Run(ctx context.Context, c Config) error {
	d := &daemon{config: c, started: time.Now(), version: Version(), pool: new(pb.Pool)}
	defer d.close()
	if err := d.open(ctx); err != nil {
		return err
	}
	return d.serve(ctx)
}

// later has f run when the host closes, before what was opened earlier.
func (d *daemon) later(f func()) { d.closers = append(d.closers, f) }

func (d *daemon) close() {
	for _, f := range slices.Backward(d.closers) {
		f()
	}
}

// options returns how this host loads its configuration.
func (d *daemon) options() config.Options {
	return d.config.options(
		config.Flag{Name: "--data-dir", Key: "general.data_dir", Value: d.config.DataDir},
		config.Flag{Name: "--socket", Key: "control.socket", Value: d.config.Socket},
	)
}

// settings are the host's own values in force.
func (d *daemon) settings() config.Host {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.current.Host()
}

// open prepares everything, in an order in which nothing is touched before the
// locks of the data directory and the socket are held.
func (d *daemon) open(ctx context.Context) error {
	var err error
	if d.current, err = config.Load(d.options()); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	s := d.settings()
	d.log = hclog.New(&hclog.LoggerOptions{
		Name: "ironpost", Level: hclog.LevelFromString(s.General.LogLevel), Output: d.config.Stderr,
		JSONFormat: s.General.LogFormat == "json", Mutex: new(sync.Mutex),
	})
	if err := yield(); err != nil {
		d.log.Warn("everything runs, slower", "error", err)
	}
	if err := d.openState(s); err != nil {
		return err
	}
	if err := d.openResponder(s); err != nil {
		return err
	}
	if err := d.openShared(s); err != nil {
		return err
	}
	if err := d.openFleet(); err != nil {
		return err
	}
	if err := d.openControl(ctx, s); err != nil {
		return err
	}
	if err := d.openPlugins(ctx, s); err != nil {
		return err
	}
	d.network = attach(s.EBPF, d.dataDir, func() bool { return d.responder.Mode() != config.Enforce }, d.log)
	d.network.lists = d.responder
	d.network.publish = d.pipeline.PublishPackets
	d.later(func() {
		if err := d.network.stop(); err != nil {
			d.log.Error("the packet filter was not closed cleanly", "error", err)
		}
	})
	return nil
}

func (d *daemon) openState(s config.Host) (err error) {
	// Plugins get paths below it, and have no working directory to go by.
	if d.dataDir, err = filepath.Abs(s.General.DataDir); err != nil {
		return fmt.Errorf("data directory %s: %w", s.General.DataDir, err)
	}
	if err := state.MakeDir(d.dataDir, 0o711); err != nil {
		return err
	}
	if d.store, err = state.Open(d.dataDir, s.Plugins.StateBytes); err != nil {
		return err
	}
	d.later(func() {
		if err := d.store.Close(); err != nil {
			d.log.Error("the state database was not closed cleanly", "error", err)
		}
	})
	if d.hostID, err = hostID(d.store); err != nil {
		return err
	}
	if err := d.openQuarantine(); err != nil {
		return err
	}
	d.alerts = newAlertBook()
	d.residents = resident.System()
	d.alerts.attribute = attribution{d.residents}.add
	if d.silences, err = silence.New(silence.Config{Logger: d.log.Named("silence"), Store: d.store}); err != nil {
		return err
	}
	d.alerts.hold = d.silences.Hold
	history := &respond.History{}
	d.journal, err = state.OpenJournal(filepath.Join(d.dataDir, "journal"), journalBytes, func(e state.Entry) {
		d.alerts.visit(e)
		history.Seed(e)
	})
	if err != nil {
		return err
	}
	d.later(func() {
		if err := d.journal.Close(); err != nil {
			d.log.Error("the journal was not closed cleanly", "error", err)
		}
	})
	d.alerts.journal = d.journal
	if err := d.openInventory(); err != nil {
		return err
	}
	d.responder, err = respond.New(respond.Config{
		Logger: d.log.Named("respond"), Journal: d.journal, Store: d.store, History: history, Policy: policy(s), Finder: rail.System(),
		HostID: d.hostID, HostName: hostName(),
	})
	if err != nil {
		return err
	}
	if err := d.openGuard(s); err != nil {
		return err
	}
	return d.openAudit(s)
}

// openInventory opens the journal of inventory.
func (d *daemon) openInventory() (err error) {
	d.inventory = newInventoryBook()
	d.inventory.journal, err = state.OpenJournal(filepath.Join(d.dataDir, "inventory"), inventoryBytes, d.inventory.visit)
	if err != nil {
		return err
	}
	d.later(func() {
		if err := d.inventory.journal.Close(); err != nil {
			d.log.Error("the journal of inventory was not closed cleanly", "error", err)
		}
	})
	return nil
}

// policy is what the responder takes from the configuration.
func policy(s config.Host) respond.Policy {
	return respond.Policy{Mode: s.General.Mode, Respond: s.Respond, Pass: s.EBPF.Allow}
}

func (d *daemon) openResponder(s config.Host) error {
	d.pipeline = pipeline.New(pipeline.Config{
		HostID: d.hostID, Logger: d.log, Pool: d.pool, Store: d.store, Journal: d.journal, Inventory: d.inventory.journal,
		Quarantine: d.keepPoison,
		Alert:      d.alerts.Take, Record: d.inventory.Record, Decide: d.decide, AskEnforcers: d.responder.AskEnforcers,
		Credits: s.Bus.Credits, RetainedBytes: s.Bus.RetainedBytes, Routes: s.LogPipeline.Routes,
		BatchRecords: s.LogPipeline.BatchSize, BatchBytes: s.Bus.BatchBytes, FlushInterval: s.LogPipeline.FlushInterval,
		BatchEvents: s.Bus.BatchEvents,
	})
	d.alerts.stats = &d.pipeline.Stats
	d.alerts.remember = d.responder.Remember
	return nil
}

func (d *daemon) openControl(ctx context.Context, s config.Host) (err error) {
	d.control, err = control.Listen(ctx, control.Config{
		Socket: s.Control.Socket, Group: s.Control.Group, Backend: d.backend(), Logger: d.log.Named("control"),
		Audit: d.audit,
	})
	if err != nil {
		return err
	}
	d.later(func() { _ = d.control.Close() }) // it is closed when serve ends
	return nil
}

func (d *daemon) openPlugins(ctx context.Context, s config.Host) error {
	dir, remove, err := runDir(s.Control.Socket)
	if err != nil {
		return err
	}
	d.later(remove)
	d.launcher = sandbox.NewLauncher()
	d.launcher.Cgroups = sandbox.OpenCgroups("/proc/self")
	d.later(func() { _ = d.launcher.Close() }) // kills what is left
	d.roster, err = roster.New(roster.Config{
		Logger: d.log, Launcher: d.launcher, Pipeline: d.pipeline, Pool: d.pool, Store: d.store,
		DataDir: d.dataDir, RunDir: dir, Dirs: s.Plugins.Dirs, Plugins: s.Plugins, HostID: d.hostID, Version: d.version,
		Mode: func() string { return string(d.responder.Mode()) }, BundleDirs: bundleDirs(d.config.ConfigFile),
		Changed: d.guard.Changed, Shared: d.shared.Apply, State: d.together,
		Report: d.leftOut.report,
	})
	if err != nil {
		return err
	}
	copies := filepath.Join(d.dataDir, "plugins")
	if n, err := sandbox.KillOrphans(copies); err != nil && !errors.Is(err, sandbox.ErrUnsupported) {
		d.log.Warn("processes of an earlier host may be left", "error", err)
	} else if n > 0 {
		d.log.Warn("ended plugins of an earlier host", "processes", n)
	}
	if err := d.roster.Scan(ctx); err != nil {
		return err
	}
	if err := d.roster.Sweep(0); err != nil {
		d.log.Warn("copies of plugins that are gone are left", "error", err)
	}
	return d.reconfigure()
}

// reconfigure loads the configuration again with the sections of the plugins
// that are known now.
func (d *daemon) reconfigure() error {
	options := d.options()
	options.Known = d.roster.Sections()
	current, err := config.Load(options)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, p := range current.Problems() {
		d.log.Warn("configuration", "problem", p.Error())
	}
	d.mu.Lock()
	d.current = current
	d.mu.Unlock()
	d.roster.Configure(current)
	return nil
}

// serve runs until ctx is done, then stops in the order of the flow.
func (d *daemon) serve(ctx context.Context) error {
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	fatal := make(chan error, 4)
	run := func(what string, f func(context.Context) error) {
		running.Go(func() {
			if err := f(background); err != nil && background.Err() == nil {
				fatal <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}
	s := d.settings()
	run("state", func(ctx context.Context) error {
		d.store.Run(ctx, s.Bus.CheckpointInterval, func(err error) { d.log.Error("checkpoints are not saved, trying again", "error", err) })
		return nil
	})
	d.network.fill()
	run("respond", d.responder.Run)
	run("guard", d.guard.Run)
	run("silences", d.silences.Run)
	run("shared state", d.shared.Run)
	run("coverage gaps", d.watchGaps)
	run("audit log", d.trail.follow)
	run("heads of the audit log", func(ctx context.Context) error { return d.trail.sendHeads(ctx, s.Audit.HeadInterval) })
	run("control", d.control.Run)
	run("metrics", d.serveMetrics)
	d.announce()
	d.roster.Start(ctx) // a stop while plugins come up waits for none of them
	d.network.run()     //nolint:contextcheck // the network stops before all else, by a context of its own
	d.watchReload(background, &running)
	running.Go(func() { d.announcePlugins(background) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-fatal:
	}
	d.log.Info("stopping: sources first")
	d.network.quiet()
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer done()
	if stopErr := d.roster.Stop(stop); stopErr != nil {
		d.log.Warn("stopped with work left", "error", stopErr)
	}
	d.network.release(d.unconfirmed(ctx))
	return err
}

// unconfirmed tells whether the mode waits for a confirmation that it cannot get
// while no host runs.
func (d *daemon) unconfirmed(ctx context.Context) bool {
	mode, err := d.responder.GetMode(ctx)
	return err == nil && mode.GetReverts() != nil
}

// watchReload reloads the configuration on SIGHUP and when its file changes.
func (d *daemon) watchReload(ctx context.Context, running *sync.WaitGroup) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	running.Go(func() {
		defer signal.Stop(hangups)
		for {
			select {
			case <-hangups:
				d.reloadAndLog(ctx, "SIGHUP")
			case <-ctx.Done():
				return
			}
		}
	})
	file := d.options().File
	if file == "" {
		return
	}
	if _, err := os.Stat(file); err != nil {
		return
	}
	running.Go(func() {
		if err := config.Watch(ctx, file, func() { d.reloadAndLog(ctx, "the file changed") }); err != nil && ctx.Err() == nil {
			d.log.Warn("changes of the configuration file are not seen; run: ironpost config reload", "error", err)
		}
	})
}

func (d *daemon) reloadAndLog(ctx context.Context, why string) {
	r, err := d.ReloadConfig(ctx)
	d.trail.reloaded(why, err)
	if err != nil {
		d.log.Error("the configuration stays as it was", "why", why, "error", err)
		return
	}
	d.log.Info("configuration reloaded", "why", why, "applied", r.Applied, "needs_restart", r.NeedsRestart)
}

// refusalOf returns the refusal in an error, nil when there is none.
func refusalOf(err error) *catalog.Refusal {
	var r *catalog.Refusal
	errors.As(err, &r)
	return r
}
