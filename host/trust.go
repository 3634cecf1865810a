package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// RemovePlugin drains and ends a plugin, and forgets its pin and grant.
func (d *daemon) RemovePlugin(ctx context.Context, name string, force bool) (*pb.RemovePluginResponse, error) {
	r, err := d.roster.Remove(ctx, name, force)
	return r, wrap(err)
}

// PluginTrust returns what this host holds plugin files to.
func (d *daemon) PluginTrust(context.Context) (*pb.PluginTrustResponse, error) {
	pins, err := d.roster.Pins()
	if err != nil {
		return nil, err
	}
	s := d.settings()
	return &pb.PluginTrustResponse{
		Dirs: absolute(s.Plugins.Dirs), TrustedKeys: s.Plugins.TrustedKeys, Pins: pins,
		Uid: uint32(max(os.Geteuid(), 0)), Executable: executable(),
	}, nil
}

func absolute(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = p
		if abs, err := filepath.Abs(p); err == nil {
			out[i] = abs
		}
	}
	return out
}

// trustWork looks at plugin files without running them as plugins: with the
// rules of a running host, or else with those that one started here would have.
type trustWork struct {
	*offline
	rules *pb.PluginTrustResponse
	store *state.Store // nil where a host runs, or has no state to be opened
}

// openTrust prepares the work; running is what a running host said, nil when
// there is none. Where write is set, the state of a host that does not run is
// opened to be changed, and made when there is none.
func openTrust(ctx context.Context, s Sources, running *pb.PluginTrustResponse, write bool, stderr io.Writer) (t *trustWork, err error) {
	t = &trustWork{rules: running}
	defer func() {
		if err != nil {
			t.close(ctx)
			t = nil
		}
	}()
	if running == nil {
		current, err := config.Load(s.options())
		if err != nil {
			return t, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if t.store, err = openState(current.Host(), write, stderr); err != nil {
			return t, err
		}
		t.rules = &pb.PluginTrustResponse{
			Dirs: absolute(current.Host().Plugins.Dirs), TrustedKeys: current.Host().Plugins.TrustedKeys,
			Uid: uint32(max(os.Geteuid(), 0)), Executable: executable(),
		}
	} else if len(s.PluginDirs) > 0 {
		t.rules.Dirs = absolute(s.PluginDirs)
	}
	keys := append([]string{}, t.rules.TrustedKeys...)
	t.offline, err = openOffline(ctx, offlineConfig{
		Sources: s, stderr: stderr, lenient: true, bare: true, keys: keys, store: t.store,
	})
	if err != nil {
		return t, err
	}
	if running == nil && t.store != nil {
		t.rules.Pins, err = t.roster.Pins()
	}
	return t, err
}

// openState opens the state of a host that does not run. Without write, state
// that is absent or may not be read is nil, and the latter is said.
func openState(h config.Host, write bool, stderr io.Writer) (*state.Store, error) {
	dir := h.General.DataDir
	path := filepath.Join(dir, "state.db")
	if !write {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			fmt.Fprintf(stderr, "ironpost: what was enabled is not known: %v; run it as the user of the host\n", err)
			return nil, nil
		}
		_ = f.Close()
	} else if err := state.MakeDir(dir, 0o711); err != nil {
		return nil, err
	}
	store, err := state.Open(dir, h.Plugins.StateBytes)
	if errors.Is(err, state.ErrLocked) {
		err = fmt.Errorf("%w; name its socket with --socket, or its configuration with --config", err)
	}
	return store, err
}

func (t *trustWork) close(ctx context.Context) {
	if t.offline != nil {
		t.offline.close(ctx)
	}
	if t.store != nil {
		_ = t.store.Close() // every pin was written at once
	}
}

// options are the rules for files.
func (t *trustWork) options() catalog.Options {
	return catalog.Options{HostUID: t.rules.Uid, HostExecutable: t.rules.Executable}
}

// DescribeConfig names a file to be described.
type DescribeConfig struct {
	Sources
	File   string
	Stderr io.Writer
}

// DescribePlugin runs a file in the strictest sandbox and returns what it says
// of itself. What is wrong with it is in the answer, not in the error.
func DescribePlugin(ctx context.Context, c DescribeConfig) (*pb.PluginDescription, error) {
	path, err := regularFile(c.File)
	if err != nil {
		return nil, err
	}
	o, err := openOffline(ctx, offlineConfig{Sources: c.Sources, stderr: c.Stderr, lenient: true, bare: true})
	if err != nil {
		return nil, err
	}
	defer o.close(ctx)
	found := o.roster.Examine(ctx, path)
	out := &pb.PluginDescription{Path: path, Sha256: found.Digest, Description: found.Description, Signature: found.Signature}
	if r := found.Refusal; r != nil {
		out.Code, out.Rule, out.Observed, out.Wanted, out.Mend = string(r.Code), r.Rule, r.Observed, r.Wanted, r.Mend
	}
	return out, nil
}

// regularFile resolves what a person typed to the path of a file.
func regularFile(name string) (string, error) {
	path, err := filepath.Abs(name)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: %s is not a file", ErrInvalid, name)
	}
	return path, nil
}
