package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/host/internal/catalog"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// VerifyConfig says which plugins to check.
type VerifyConfig struct {
	Sources
	// Trust is what a running host holds plugins to; nil is what one started
	// here would.
	Trust *pb.PluginTrustResponse
	// Names are names of plugins or paths of files; none are all candidates.
	Names  []string
	Stderr io.Writer
}

// VerifyPlugins holds files to every rule again: owner, mode and path, the
// SHA-256, the signature where keys are trusted, the name. Nothing is changed,
// and only what nobody approved is run, in the strictest sandbox, for its name.
// The verdicts are in the order of the directories; the error beside them is
// about whole directories.
func VerifyPlugins(ctx context.Context, c VerifyConfig) ([]*pb.PluginVerdict, error) {
	t, err := openTrust(ctx, c.Sources, c.Trust, false, c.Stderr)
	if err != nil {
		return nil, err
	}
	defer t.close(ctx)
	found, scanErr := t.inspect(ctx)
	out := make([]*pb.PluginVerdict, 0, len(found))
	for _, f := range found {
		out = append(out, f.verdict())
	}
	if len(c.Names) == 0 {
		return out, scanErr
	}
	var picked []*pb.PluginVerdict
	for _, name := range c.Names {
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		before := len(picked)
		for i, v := range out {
			if v.Name == name || found[i].item.File == name || v.Path == abs {
				picked = append(picked, v)
			}
		}
		if len(picked) > before {
			continue
		}
		if _, err := os.Lstat(abs); err != nil {
			return nil, fmt.Errorf("%w: %s is neither a plugin in %v nor a file", ErrInvalid, name, t.rules.Dirs)
		}
		verdict, err := t.single(ctx, abs)
		if err != nil {
			return nil, err
		}
		picked = append(picked, verdict)
	}
	return picked, nil
}

// inspected is one file with what was decided about it.
type inspected struct {
	item      catalog.Item
	signature string
	decision  catalog.Decision
}

// verdict puts it into words.
func (f *inspected) verdict() *pb.PluginVerdict {
	v := &pb.PluginVerdict{
		Name: f.item.Name, Path: f.item.Path, State: string(f.decision.State), Trust: string(f.decision.Trust),
		Sha256: f.item.Digest, Signature: f.signature,
	}
	if v.Name == "" {
		v.Name = f.item.File
	}
	if f.decision.State == catalog.Enabled {
		v.State = "trusted"
	}
	if r := f.decision.Refusal; r != nil {
		v.Code, v.Rule, v.Observed, v.Wanted, v.Mend = string(r.Code), r.Rule, r.Observed, r.Wanted, r.Mend
	}
	return v
}

// policy is what files are compared with; who is enabled or disabled is of no
// concern here.
func (t *trustWork) policy() (catalog.Policy, error) {
	p := catalog.Policy{Pins: make(map[string]catalog.Pin)}
	for _, pin := range t.rules.Pins {
		p.Pins[pin.Name] = catalog.Pin{Name: pin.Name, Digest: pin.Sha256}
	}
	var err error
	p.Sums, err = catalog.LoadSums(t.options())
	return p, err
}

// inspect looks at every candidate in the plugin directories. The candidates are
// valid beside an error, which is about whole directories or the list of built
// plugins.
func (t *trustWork) inspect(ctx context.Context) ([]*inspected, error) {
	policy, sumsErr := t.policy()
	options := t.options()
	options.Expected = func(file string) bool {
		_, built := policy.Sums[file]
		_, pinned := policy.Pins[file]
		return built || pinned
	}
	candidates, err := catalog.Scan(t.rules.Dirs, options)
	err = errors.Join(sumsErr, err)
	found := make([]*inspected, len(candidates))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, c := range candidates {
		found[i] = &inspected{item: catalog.Item{File: c.File, Path: c.Path, Refusal: c.Refusal}}
		if c.Refusal == nil {
			g.Go(func() error { t.identify(ctx, found[i], policy); return nil })
		}
	}
	_ = g.Wait() // identify reports in the item
	items := make([]catalog.Item, len(found))
	for i, f := range found {
		items[i] = f.item
	}
	for i, d := range catalog.Decide(items, policy) {
		found[i].decision = d
	}
	return found, err
}

// single looks at one file by itself, wherever it lies.
func (t *trustWork) single(ctx context.Context, path string) (*pb.PluginVerdict, error) {
	policy, err := t.policy()
	if err != nil {
		return nil, err
	}
	f := &inspected{item: catalog.Item{File: filepath.Base(path), Path: path, Refusal: catalog.Check(path, t.options())}}
	if f.item.Refusal == nil {
		t.identify(ctx, f, policy)
	}
	f.decision = catalog.Decide([]catalog.Item{f.item}, policy)[0]
	return f.verdict(), nil
}

// identify fills in digest, name and signature. Bytes that were approved have
// the name that they were approved under.
func (t *trustWork) identify(ctx context.Context, f *inspected, policy catalog.Policy) {
	digest, err := catalog.Digest(f.item.Path)
	if err != nil {
		if f.item.Refusal = refusalOf(err); f.item.Refusal == nil {
			f.item.Refusal = catalog.NewRefusal(catalog.Unreadable, err.Error(), "readable by the host", "ls -l "+catalog.Quote(f.item.Path))
		}
		return
	}
	f.item.Digest = digest
	shipped := policy.Sums[f.item.File] == digest
	switch {
	case shipped:
		f.item.Name = f.item.File
		for name, pin := range policy.Pins { // it may call itself otherwise
			if pin.Digest == digest {
				f.item.Name = name
			}
		}
		return
	case len(t.rules.TrustedKeys) == 0:
		for name, pin := range policy.Pins {
			if pin.Digest == digest {
				f.item.Name = name
				return
			}
		}
		for name, sum := range policy.Sums {
			if sum == digest {
				f.item.Name = name
				return
			}
		}
	}
	e := t.roster.Examine(ctx, f.item.Path)
	f.item.Name, f.item.Refusal, f.signature = e.Description.GetName(), e.Refusal, e.Signature
	if e.Digest != "" {
		f.item.Digest = e.Digest
	}
}
