package roster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/host/internal/sandbox"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

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
	if slices.Contains(p.desc.GetKinds(), scanner) {
		s.ReadPaths = exact(granted.GetRead())
	}
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

// scanner is the kind of plugin that reads what a person names, once.
const scanner = "scanner"

// exact returns the paths that are granted as they are: what is scanned is neither
// rotated nor a pattern, and a document in somebody's home is not the home.
func exact(paths []string) []string {
	var out []string
	for _, p := range paths {
		if clean := filepath.Clean(p); filepath.IsAbs(p) && clean != "/" && !slices.Contains(out, clean) {
			out = append(out, clean)
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
