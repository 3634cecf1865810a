package roster

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ironpost/ironpost/host/internal/bundle"
	"github.com/ironpost/ironpost/host/internal/link"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

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
		if b.ConfigKey == "" && errors.Is(bad.Err, fs.ErrNotExist) {
			continue // nobody named it, and it may be made later
		}
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
