package roster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/pipeline"
	"github.com/ironpost/ironpost/host/internal/sandbox"
	"github.com/ironpost/ironpost/host/internal/service"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ownData at the beginning of a value stands for the plugin's own directory
// below the host's data directory.
const ownData = "data:"

// environment is all that a plugin's process inherits.
func (r *Roster) environment() []string {
	env := []string{"GOMAXPROCS=" + strconv.Itoa(max(r.config.Plugins.Procs, 1))}
	if zone := localZone(); zone != "" {
		env = append(env, "TZ="+zone)
	}
	return env
}

// localZone returns the IANA name of the host's time zone, "" when it is not
// known: a plugin cannot read /etc/localtime.
func localZone() string {
	if tz, ok := os.LookupEnv("TZ"); ok {
		return strings.TrimPrefix(tz, ":")
	}
	target, err := filepath.EvalSymlinks("/etc/localtime")
	if err != nil {
		return ""
	}
	_, name, _ := strings.Cut(target, "/zoneinfo/")
	return name
}

// user returns the numeric user of a plugin, 0 where the host is not root and
// cannot change users.
func (r *Roster) user(name string) (uint32, error) {
	if os.Geteuid() != 0 {
		return 0, nil
	}
	users, err := r.uids.All()
	if err != nil {
		return 0, fmt.Errorf("read the plugins' users: %w", err)
	}
	if uid, ok := users[name]; ok {
		return uid, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if users, err = r.uids.All(); err != nil {
		return 0, fmt.Errorf("read the plugins' users: %w", err)
	}
	taken := make(map[uint32]string, len(users))
	for n, uid := range users {
		taken[uid] = n
	}
	uid, err := sandbox.UID(name, taken)
	if err != nil {
		return 0, err
	}
	return uid, r.uids.Put(name, uid)
}

// launch starts one process of the plugin.
func (r *Roster) launch(ctx context.Context, p *plugin) (*launched, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, r.config.Plugins.StartTimeout, link.ErrTimeout)
	defer cancel()
	section, err := r.section(p)
	if err != nil {
		return nil, err
	}
	spec, err := r.spec(ctx, p, section)
	if err != nil {
		return nil, err
	}
	if spec.Exe, err = r.executable(p.digest); err != nil {
		return nil, err
	}
	spec.Path = r.copies.Path(p.digest)
	ready := time.Now()
	log := r.logger(p.name(), fromPlugin)
	conn, err := link.Start(ctx, link.Config{
		Launcher: r.config.Launcher, Spec: spec.Spec, RunDir: r.config.RunDir, Logger: log,
		StartTimeout: r.config.Plugins.StartTimeout, Pool: r.config.Pool, Pipes: &r.pipes, LogsLeftOut: &r.ring(p.name()).leftOut,
	})
	r.attend(p, &spec, conn) //nolint:contextcheck // the process outlives its start
	if err != nil {
		return nil, err
	}
	r.log.Debug("plugin started", "plugin", p.name(), "pid", conn.Process().Pid(),
		"prepare", ready.Sub(began).String(), "process", time.Since(ready).String())
	return &launched{plugin: p, conn: conn, section: section, listeners: spec.listeners}, nil
}

// configure makes a process ready to be served.
func (r *Roster) configure(ctx context.Context, l *launched) error {
	if l == nil {
		return errGone
	}
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, r.config.Plugins.StartTimeout, link.ErrTimeout)
	defer cancel()
	document, err := json.Marshal(l.section)
	var wants *pb.ConfigureResponse
	if err == nil {
		wants, err = l.conn.Configure(ctx, &pb.ConfigureRequest{
			ConfigJson: document, HostId: r.config.HostID, HostVersion: r.config.Version, Mode: r.config.Mode(),
			Replay: r.config.Replay, Listeners: l.listeners,
		})
	}
	if err == nil {
		err = r.pushBundles(ctx, l.plugin, l.conn, l.section)
	}
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	l.wants = wants.Consumes
	r.log.Debug("plugin configured", "plugin", l.plugin.name(), "pid", l.conn.Process().Pid(), "took", time.Since(began).String())
	return nil
}

// section returns the values of the plugin's section, with its own directory
// put in.
func (r *Roster) section(p *plugin) (map[string]any, error) {
	values := make(map[string]any)
	if p.desc.Section == "" {
		return values, nil
	}
	r.mu.RLock()
	current := r.current
	r.mu.RUnlock()
	if bad := current.PluginProblems(p.name()); bad != nil {
		return nil, bad
	}
	document, err := current.SectionJSON(p.desc.Section)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(document, &values); err != nil {
		return nil, fmt.Errorf("section %s: %w", p.desc.Section, err)
	}
	for k, v := range values {
		if s, ok := v.(string); ok && strings.HasPrefix(s, ownData) {
			dir, err := r.ownDirectory(p, strings.TrimPrefix(s, ownData))
			if err != nil {
				return nil, err
			}
			values[k] = dir
		}
	}
	return values, nil
}

// ownDirectory makes the plugin's directory below the data directory.
func (r *Roster) ownDirectory(p *plugin, name string) (string, error) {
	if name != p.name() {
		return "", fmt.Errorf("plugin %s asks for the data directory of %q: it may have its own, %q", p.name(), name, ownData+p.name())
	}
	dir := filepath.Join(cmp.Or(r.config.OwnDataDir, r.config.DataDir), name)
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return "", fmt.Errorf("make the plugin's directory: %w", err)
	}
	uid, err := r.user(name)
	if err != nil {
		return "", err
	}
	if uid != 0 {
		if err := os.Lchown(dir, int(uid), int(uid)); err != nil {
			return "", fmt.Errorf("give the plugin its directory: %w", err)
		}
	}
	return dir, nil
}

// serve runs the plugin's links and what goes beside them: the calls of the
// host and the watch over its bundles, which background waits for.
func (r *Roster) serve(ctx context.Context, background *sync.WaitGroup, member *pipeline.Member, l *launched) error {
	p, conn := l.plugin, l.conn
	member.Consume(l.wants)
	ctx, cancel := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer cancel() // the links' end is the end of all
		return member.Serve(ctx, conn)
	})
	granted, _ := r.granted(p, nil)
	if commands, services := granted.GetCommands(), granted.GetServices(); len(commands)+len(services) > 0 {
		g.Go(func() error {
			stream, err := conn.HostServices(ctx)
			if err != nil {
				return err
			}
			return service.Serve(ctx, stream, service.Grants{
				Commands: commands, Services: services, Changed: func(targets []string) { r.changed(p.name(), targets) },
				Shared: r.shared(p),
			}, &p.requests.tally, r.log.Named(p.name()))
		})
	}
	if r.config.State != nil && r.reaches(p) {
		g.Go(func() error { return r.config.State(ctx, p.name(), conn) })
	}
	for _, b := range p.desc.Bundles {
		// Not waited for: to give up watching takes the kernel longer than to
		// start the next process.
		background.Go(func() { r.watchBundle(ctx, p, conn, b) })
	}
	return g.Wait()
}

// reaches reports whether the plugin is of the kind that reaches a state engine, and was told
// of one: where it declares addresses, the configuration names one.
func (r *Roster) reaches(p *plugin) bool {
	addresses := p.desc.GetPermissions().GetConnect()
	switch {
	case !slices.Contains(p.desc.GetKinds(), "state"):
		return false
	case len(addresses) == 0:
		return true
	}
	section, err := r.section(p)
	return err == nil && len(resolve(addresses, section)) > 0
}

// Reaches reports whether a plugin is enabled that reaches a state engine.
func (r *Roster) Reaches() bool {
	r.mu.RLock()
	enabled := slices.DeleteFunc(slices.Clone(r.plugins), func(p *plugin) bool { return p.desc == nil || p.decision.State != catalog.Enabled })
	r.mu.RUnlock()
	return slices.ContainsFunc(enabled, r.reaches)
}

// shared returns how the plugin counts; nil where nothing is counted.
func (r *Roster) shared(p *plugin) service.SharedFunc {
	if r.config.Shared == nil {
		return nil
	}
	return func(ctx context.Context, req *pb.SharedRequest) (*pb.SharedReply, error) {
		return r.config.Shared(ctx, p.name(), req)
	}
}
