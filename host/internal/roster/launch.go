package roster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/host/internal/bundle"
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
		StartTimeout: r.config.Plugins.StartTimeout, Pool: r.config.Pool, LogsLeftOut: &r.ring(p.name()).leftOut,
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
	dir := filepath.Join(r.config.DataDir, name)
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

// launchSpec is a sandbox specification with what goes beside it.
type launchSpec struct {
	sandbox.Spec
	listeners []*pb.Listener
	docker    *dockerSocket // nil without a grant
}

// firstListener is the descriptor of the first listener: 3 is the parent-death
// pipe.
const firstListener = 4

// spec turns the granted permissions into a sandbox.
func (r *Roster) spec(ctx context.Context, p *plugin, section map[string]any) (launchSpec, error) {
	uid, err := r.user(p.name())
	if err != nil {
		return launchSpec{}, err
	}
	granted, beyond := r.granted(p, section)
	for _, permission := range beyond {
		r.log.Warn("a plugin asks for more than was granted; run: ironpost plugin enable "+p.name(), "plugin", p.name(), "permission", permission)
	}
	s := launchSpec{Spec: sandbox.Spec{
		Name: p.name(), Env: r.environment(), UID: uid, GID: uid,
		BaseRead:     granted.GetBaseFiles(),
		NewProcesses: granted.GetProcesses(),
		Network:      len(granted.GetConnect()) > 0,
		ConnectPorts: connectPorts(granted.GetConnect()),
		MaxMemory:    uint64(r.config.Plugins.MemoryBytes),
	}}
	if err := r.openDocker(p, &s, granted.GetDocker()); err != nil {
		return s, err
	}
	s.ReadPaths = readable(granted.GetRead())
	s.ReadCapability = len(s.ReadPaths) > 0 && os.Geteuid() == 0
	for _, w := range granted.GetWrite() {
		dir, err := writable(w, uid)
		if err != nil {
			return s, err
		}
		if dir != "" && !slices.Contains(s.WritePaths, dir) {
			s.WritePaths = append(s.WritePaths, dir)
		}
	}
	for i, address := range granted.GetListen() {
		f, err := r.listen(ctx, p, address)
		if err != nil {
			return s, err
		}
		s.Files = append(s.Files, f)
		s.listeners = append(s.listeners, &pb.Listener{Address: address, Fd: uint32(firstListener + i)})
	}
	return s, nil
}

// resolve replaces "config:KEY" by the values of that key.
func resolve(permissions []string, section map[string]any) []string {
	var out []string
	for _, p := range permissions {
		key, ok := strings.CutPrefix(p, "config:")
		if !ok {
			out = append(out, p)
			continue
		}
		switch v := section[key].(type) {
		case string:
			if v != "" {
				out = append(out, v)
			}
		case []any:
			for _, e := range v {
				if s, ok := e.(string); ok {
					out = append(out, s)
				}
			}
		}
	}
	return out
}

// readable turns paths and globs into the directories that hold them: a file
// that is rotated is found by its directory.
func readable(paths []string) []string {
	var out []string
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			continue
		}
		dir := filepath.Clean(p)
		if i := strings.IndexAny(dir, "*?["); i >= 0 {
			dir = filepath.Dir(dir[:i] + "x")
		} else if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			dir = filepath.Dir(dir)
		}
		if dir != "/" && !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	return out
}

// writable turns a path to be written into the directory that is granted: a file
// is replaced and rotated beside itself. A directory that is not there is made,
// and belongs to the plugin.
func writable(path string, uid uint32) (string, error) {
	if !filepath.IsAbs(path) {
		return "", nil
	}
	dir := filepath.Clean(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	if dir == "/" {
		return "", fmt.Errorf("write path %s: the root directory is not granted", path)
	}
	if info, err := os.Stat(dir); err == nil {
		owner, known := ownerOf(info)
		if uid != 0 && known && owner != uid && info.Mode().Perm()&0o002 == 0 {
			return "", fmt.Errorf("write path %s: %s belongs to user %d and the plugin runs as user %d; run: chown %d %s, or name a directory that does not exist yet",
				path, dir, owner, uid, uid, dir)
		}
		return dir, nil
	}
	if err := os.Mkdir(dir, 0o750); err != nil {
		return "", fmt.Errorf("make the directory of %s: %w", path, err)
	}
	if uid != 0 {
		if err := os.Lchown(dir, int(uid), int(uid)); err != nil {
			return "", fmt.Errorf("give the plugin the directory %s: %w", dir, err)
		}
	}
	return dir, nil
}

// listen binds an address once and keeps it over the plugin's restarts.
func (r *Roster) listen(ctx context.Context, p *plugin, address string) (*os.File, error) {
	if f := p.listeners[address]; f != nil {
		return f, nil
	}
	f, err := sandbox.Listen(ctx, address)
	if err != nil {
		return nil, err
	}
	p.listeners[address] = f
	return f, nil
}

// pushBundles gives the plugin its files before it sees the first event.
func (r *Roster) pushBundles(ctx context.Context, p *plugin, conn *link.Conn, section map[string]any) error {
	for _, b := range p.desc.Bundles {
		if err := r.pushBundle(ctx, p, conn, b, r.bundlePaths(b, section)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Roster) pushBundle(ctx context.Context, p *plugin, conn *link.Conn, b *pb.BundleSpec, paths []string) error {
	files, problems := bundle.Load(b.Name, paths, b.Suffixes)
	for _, bad := range problems {
		r.log.Warn("a file of a bundle is left out", "plugin", p.name(), "bundle", b.Name, "path", bad.Path, "error", bad.Err)
	}
	report, err := conn.PushBundle(ctx, files)
	if err != nil {
		return err
	}
	for _, bad := range report.Rejected {
		r.log.Warn("a rule is left out", "plugin", p.name(), "file", bad.File, "line", bad.Line, "rule", bad.Rule, "code", bad.Code, "reason", bad.Reason)
	}
	if r.config.Report != nil {
		r.config.Report(p.name(), b.Name, report)
	}
	return nil
}

// bundlePaths returns the paths of a bundle: those of the configuration, else
// the first of the places where a relative one exists.
func (r *Roster) bundlePaths(b *pb.BundleSpec, section map[string]any) []string {
	if set := r.config.Bundles[b.Name]; len(set) > 0 {
		return set
	}
	paths := b.Paths
	if b.ConfigKey != "" {
		if set := resolve([]string{"config:" + b.ConfigKey}, section); len(set) > 0 {
			paths = set
		}
	}
	var out []string
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			for _, dir := range r.config.BundleDirs {
				if candidate := filepath.Join(dir, p); exists(candidate) {
					p = candidate
					break
				}
			}
		}
		out = append(out, p)
	}
	return out
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// serve runs the plugin's links and what goes beside them: the calls of the
// host and the watch over its bundles.
func (r *Roster) serve(ctx context.Context, member *pipeline.Member, l *launched) error {
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
			return service.Serve(ctx, stream, service.Grants{Commands: commands, Services: services}, &p.requests.tally, r.log.Named(p.name()))
		})
	}
	for _, b := range p.desc.Bundles {
		g.Go(func() error {
			r.watchBundle(ctx, p, conn, b)
			return nil
		})
	}
	return g.Wait()
}

// watchBundle pushes a bundle again whenever its files change.
func (r *Roster) watchBundle(ctx context.Context, p *plugin, conn *link.Conn, b *pb.BundleSpec) {
	section, err := r.section(p)
	if err != nil {
		return // the configuration in force was fine at the start
	}
	paths := r.bundlePaths(b, section)
	err = bundle.Watch(ctx, paths, func() {
		if err := r.pushBundle(ctx, p, conn, b, paths); err != nil && ctx.Err() == nil {
			r.log.Error("changed files are not in force", "plugin", p.name(), "bundle", b.Name, "error", err)
		}
	})
	if err != nil {
		r.log.Warn("changes of files are not seen; run: ironpost plugin reload "+p.name(), "error", err)
	}
}
