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

	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/host/internal/bundle"
	"github.com/ironpost/ironpost/host/internal/link"
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

// launch starts and configures one process of the plugin.
func (r *Roster) launch(ctx context.Context, p *plugin) (*link.Conn, error) {
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
	exe, err := r.copies.Open(p.digest)
	if err != nil {
		return nil, err
	}
	defer exe.Close()
	spec.Exe, spec.Path = exe, r.copies.Path(p.digest)
	conn, err := link.Start(ctx, link.Config{
		Launcher: r.config.Launcher, Spec: spec.Spec, RunDir: r.config.RunDir, Logger: r.log.Named(p.name()),
		StartTimeout: r.config.Plugins.StartTimeout, Pool: r.config.Pool,
	})
	if err != nil {
		return nil, err
	}
	document, err := json.Marshal(section)
	var wants *pb.ConfigureResponse
	if err == nil {
		wants, err = conn.Configure(ctx, &pb.ConfigureRequest{
			ConfigJson: document, HostId: r.config.HostID, HostVersion: r.config.Version, Mode: r.config.Mode(),
			Replay: r.config.Replay, Listeners: spec.listeners,
		})
	}
	if err == nil {
		err = r.pushBundles(ctx, p, conn, section)
	}
	if err != nil {
		conn.Kill()
		return nil, fmt.Errorf("configure: %w", err)
	}
	p.member.Consume(wants.Consumes)
	return conn, nil
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
	granted := p.desc.Permissions
	s := launchSpec{Spec: sandbox.Spec{
		Name: p.name(), Env: r.environment(), UID: uid, GID: uid,
		BaseRead:     granted.GetBaseFiles(),
		NewProcesses: granted.GetProcesses(),
		Network:      len(granted.GetConnect()) > 0,
	}}
	s.ReadPaths = readable(resolve(granted.GetRead(), section))
	s.ReadCapability = len(s.ReadPaths) > 0 && os.Geteuid() == 0
	for _, w := range resolve(granted.GetWrite(), section) {
		dir, err := writable(w, uid)
		if err != nil {
			return s, err
		}
		if dir != "" && !slices.Contains(s.WritePaths, dir) {
			s.WritePaths = append(s.WritePaths, dir)
		}
	}
	for i, address := range resolve(granted.GetListen(), section) {
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
func (r *Roster) serve(ctx context.Context, p *plugin, conn *link.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer cancel() // the links' end is the end of all
		return p.member.Serve(ctx, conn)
	})
	if commands := p.desc.Permissions.GetCommands(); len(commands) > 0 {
		g.Go(func() error {
			stream, err := conn.HostServices(ctx)
			if err != nil {
				return err
			}
			return service.Serve(ctx, stream, commands, r.log.Named(p.name()))
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
