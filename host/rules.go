package host

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/ironpost/ironpost/host/internal/bundle"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// rulesBundle is the bundle that detectors read rules from.
const rulesBundle = "rules"

// RulesConfig says which rules to look at; no paths are those of the
// configuration.
type RulesConfig struct {
	Sources
	Paths  []string
	Stderr io.Writer
}

// ValidateRules loads rules aside and names those that are rejected.
func ValidateRules(ctx context.Context, c RulesConfig) (*pb.BundleResponse, error) {
	if err := c.exist(); err != nil {
		return nil, err
	}
	o, err := openOffline(ctx, offlineConfig{Sources: c.Sources, want: hasRules, stderr: io.Discard})
	if err != nil {
		return nil, err
	}
	defer o.close(ctx)
	paths, suffixes := o.roster.BundlePaths(rulesBundle)
	if len(c.Paths) > 0 {
		paths = c.Paths
	}
	files, problems := bundle.Load(rulesBundle, paths, suffixes)
	for _, p := range problems {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, p.Path, p.Err)
	}
	for _, conn := range o.roster.Find(hasRules) {
		return conn.ValidateRules(ctx, files)
	}
	return nil, fmt.Errorf("%w: no detector with rules is enabled; see ironpost plugin list", ErrInvalid)
}

// ListRules returns the rules that a host would load.
func ListRules(ctx context.Context, c RulesConfig) ([]*pb.Rule, error) {
	o, err := openOffline(ctx, offlineConfig{Sources: c.Sources, want: hasRules, rules: c.Paths, stderr: c.Stderr})
	if err != nil {
		return nil, err
	}
	defer o.close(ctx)
	var out []*pb.Rule
	conns := o.roster.Find(hasRules)
	for _, name := range slices.Sorted(maps.Keys(conns)) {
		rules, err := conns[name].ListRules(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", name, err)
		}
		out = append(out, rules...)
	}
	return out, nil
}

// hasRules wants the detectors that read rules.
func hasRules(d *pb.Description) bool {
	return slices.Contains(d.Kinds, "detector") &&
		slices.ContainsFunc(d.Bundles, func(b *pb.BundleSpec) bool { return b.Name == rulesBundle })
}
