package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/ironpost/ironpost/host/internal/link"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// CoverageConfig says which rules are judged, and over which streams.
type CoverageConfig struct {
	Sources
	// Paths, when set, are where the rules are, in place of those of the
	// configuration.
	Paths []string
	// Streams are those that a running host has; with nil, every format comes of
	// which a parser is enabled and says what it gives, and those of Formats.
	Streams []*pb.StreamStatus
	Formats []string
	// Packets says that there are packet summaries.
	Packets bool
}

// CoverRules says which of the rules that a host would load can fire, and why the
// others cannot.
func CoverRules(ctx context.Context, c CoverageConfig) ([]*pb.RuleCoverage, error) {
	if err := (RulesConfig{Paths: c.Paths}).exist(); err != nil {
		return nil, err
	}
	var parsers []*pb.Description
	o, err := openOffline(ctx, offlineConfig{
		Sources: c.Sources, rules: c.Paths, stderr: io.Discard, alert: nobody,
		want: func(d *pb.Description) bool {
			if isParser("")(d) {
				parsers = append(parsers, d) // described is enough
			}
			return hasRules(d)
		},
	})
	if err != nil {
		return nil, err
	}
	defer o.close(ctx)
	request := &pb.CoverRulesRequest{Packets: c.Packets}
	if request.Streams, err = c.streams(parsers); err != nil {
		return nil, err
	}
	conns := o.roster.Find(hasRules)
	for _, name := range slices.Sorted(maps.Keys(conns)) {
		out, err := conns[name].CoverRules(ctx, request)
		if errors.Is(err, link.ErrCannotExamine) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", name, err)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%w: no detector that knows what its rules need is enabled; see ironpost plugin list", ErrInvalid)
}

// streams are those that the rules are judged over.
func (c *CoverageConfig) streams(parsers []*pb.Description) (out []*pb.LogStream, err error) {
	byName, byFormat := map[string]*pb.Description{}, map[string]*pb.Description{}
	for _, d := range parsers {
		byName[d.Name], byFormat[d.Format] = d, d
	}
	for _, s := range c.Streams {
		if d := byName[s.Parser]; d != nil {
			out = append(out, &pb.LogStream{Name: s.Name, Plugin: s.Plugin, Format: d.Format, Fields: d.Fields})
		}
	}
	formats := c.Formats
	if c.Streams == nil {
		for _, format := range slices.Sorted(maps.Keys(byFormat)) {
			if fields := byFormat[format].Fields; len(fields) > 0 && !slices.Contains(fields, "*") {
				formats = append(formats, format)
			}
		}
	}
	slices.Sort(formats)
	for _, format := range slices.Compact(formats) {
		d := byFormat[format]
		if d == nil {
			return nil, fmt.Errorf("%w: there is no parser for format %q; there are %v", ErrInvalid, format, slices.Sorted(maps.Keys(byFormat)))
		}
		out = append(out, &pb.LogStream{Format: format, Fields: d.Fields})
	}
	return out, nil
}

// RulePaths returns the files and folders that a host would read rules from.
func RulePaths(ctx context.Context, s Sources) ([]string, error) {
	o, err := openOffline(ctx, offlineConfig{Sources: s, want: hasRules, stderr: io.Discard, alert: nobody})
	if err != nil {
		return nil, err
	}
	defer o.close(ctx)
	paths, _ := o.roster.BundlePaths(rulesBundle)
	return paths, nil
}
