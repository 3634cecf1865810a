package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/pipeline"
	"github.com/ironpost/ironpost/host/internal/roster"
	"github.com/ironpost/ironpost/host/internal/sandbox"
	"github.com/ironpost/ironpost/host/internal/shared"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ErrInvalid is wrapped by errors about what the caller gave.
var ErrInvalid = errors.New("invalid input")

// offlineHost stands for the host id in trace ids.
const offlineHost = "offline"

// offline is a pipeline of plugins without a running host.
type offline struct {
	pipeline *pipeline.Pipeline
	roster   *roster.Roster
	launcher *sandbox.Launcher
	remove   func()
}

// offlineConfig says which plugins take part, and how.
type offlineConfig struct {
	Sources
	want   func(*pb.Description) bool
	rules  []string
	alert  pipeline.AlertFunc
	stderr io.Writer
	// lenient only looks at the plugins, also when the configuration is wrong.
	lenient bool
	// bare leaves the plugin directories alone: single files are looked at.
	bare bool
	// keys, when set, are the trusted keys in place of the configured ones.
	keys []string
	// flags, when set, returns values for an enabled plugin's section.
	flags func(*pb.Description) []config.Flag
	// ownData has plugins keep their own data where those of a host do.
	ownData bool
	// store, when set, is where pins are kept.
	store *state.Store
}

// openOffline starts the wanted plugins.
func openOffline(ctx context.Context, c offlineConfig) (o *offline, err error) {
	current, err := config.Load(c.options())
	if err != nil && c.lenient {
		without := c.options()
		without.File, without.Env = "", nil
		current, err = config.Load(without)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "ironpost", Level: hclog.Warn, Output: c.stderr})
	if err := yield(); err != nil {
		log.Warn("everything runs, slower", "error", err)
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	sockets, err := os.MkdirTemp("", "ironpost-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the plugins' sockets: %w", err)
	}
	o = &offline{launcher: sandbox.NewLauncher(), remove: func() { _ = os.RemoveAll(sockets) }}
	defer func() {
		if err != nil {
			o.close(ctx)
			o = nil
		}
	}()
	if err := os.Chmod(sockets, 0o711); err != nil { //nolint:gosec // plugins' users search it
		return o, fmt.Errorf("open the plugins' socket directory: %w", err)
	}
	pool := new(pb.Pool)
	bus := current.Host().Bus
	o.pipeline = pipeline.New(pipeline.Config{
		HostID: offlineHost, Logger: log, Pool: pool, Alert: c.alert, Credits: bus.Credits, RetainedBytes: bus.RetainedBytes,
		Decide: func(context.Context, string, *pb.ActionEvent) error { return nil },
		Routes: current.Host().LogPipeline.Routes,
	})
	bundles := map[string][]string{}
	if len(c.rules) > 0 {
		bundles[rulesBundle] = c.rules
	}
	plugins := current.Host().Plugins
	if c.keys != nil {
		plugins.TrustedKeys = c.keys
	}
	var ownData string
	if c.ownData {
		ownData = current.Host().General.DataDir
		if err := state.MakeDir(ownData, 0o711); err != nil {
			return o, err
		}
	}
	if c.lenient {
		c.want = func(*pb.Description) bool { return false } // nothing is started
	}
	memory, err := catalog.OpenMemory(filepath.Join(cache, memoryFile), time.Now)
	if err != nil {
		log.Debug("every plugin is looked into", "error", err)
	}
	o.roster, err = roster.New(roster.Config{
		Logger: log, Launcher: o.launcher, Pipeline: o.pipeline, Pool: pool, Store: c.store, Memory: memory, DataDir: cache, RunDir: sockets, OwnDataDir: ownData,
		Dirs: plugins.Dirs, Plugins: plugins, HostID: offlineHost, Version: Version(),
		Mode: func() string { return string(config.Detect) }, Replay: true,
		BundleDirs: bundleDirs(c.ConfigFile), Bundles: bundles, Want: c.want,
		Shared: shared.New(shared.Config{Raise: o.pipeline.Raise}).Apply, // nothing that it counts outlives it
		// Who names the directories wants what lies there, sandboxed as ever.
		TrustAll: len(c.PluginDirs) > 0 && !c.bare,
	})
	if err != nil {
		return o, err
	}
	if c.bare {
		return o, nil
	}
	if err := o.roster.Scan(ctx); err != nil {
		return o, err
	}
	if c.lenient {
		return o, nil // it is the plugins' sections that are wanted
	}
	options := c.options()
	options.Known = o.roster.Sections()
	for _, d := range o.roster.Enabled() {
		if c.flags != nil {
			options.Flags = append(options.Flags, c.flags(d)...)
		}
	}
	if current, err = config.Load(options); err != nil {
		return o, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	o.roster.Configure(current)
	o.roster.Start(ctx)
	ready, cancel := context.WithTimeout(ctx, current.Host().Plugins.StartTimeout)
	defer cancel()
	return o, o.roster.Ready(ready)
}

// memoryFile is where offline verbs remember what they found out of plugins, in cacheDir.
const memoryFile = "plugins.memory"

// cacheDir is where offline verbs keep their copies of plugins.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = filepath.Join(os.TempDir(), fmt.Sprintf("ironpost-%d", os.Geteuid()))
	}
	dir := filepath.Join(base, "ironpost")
	if err := state.MakeDir(dir, 0o711); err != nil {
		return "", err
	}
	return dir, nil
}

// copiesAge is for how long offline verbs keep copies of plugins that they did not
// use; others may work with them at the same time.
const copiesAge = 24 * time.Hour

func (o *offline) close(ctx context.Context) {
	if o.roster != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = o.roster.Stop(ctx)        // whatever is left is killed next
		_ = o.roster.Sweep(copiesAge) // the next verb tries again
	}
	_ = o.launcher.Close()
	o.remove()
}
