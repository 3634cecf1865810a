package suite

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Base returns the checks of the base service, which every plugin serves.
func Base(target Target, c HostConfig) []Check {
	return []Check{
		{
			Name: "base.describe", Title: "starts and describes itself",
			Wanted: fmt.Sprintf("handshake and Describe within %v, without configuration, files or network; a valid name, API, kinds and format", pb.DescribeTimeout),
			Mend:   "print the handshake line first and fill in the Description of plugin.proto; docs/plugin-guide.md names the limits",
			run:    applied(func(tb TB) { checkDescription(tb, target) }),
		},
		{
			Name: "base.configure", Title: "takes its configuration",
			Wanted: "Configure with the section, complete with defaults, succeeds, and the plugin is healthy or says what is missing",
			Mend:   "accept every key that Describe declares, as JSON, and answer Health with a state",
			run: applied(func(tb TB) {
				h := Start(tb, target, c)
				h.Health()
				ctx, cancel := context.WithTimeout(tb.Context(), patience)
				defer cancel()
				if r, err := h.base.Health(ctx, &pb.HealthRequest{}); err == nil && r.State == pb.HealthResponse_STATE_UNSPECIFIED {
					tb.Errorf("Health answers without a state")
				}
				h.Metrics()
			}),
		},
		{
			Name: "base.later", Title: "bears what later hosts add",
			Wanted: "fields that the plugin does not know are ignored; calls that it does not know are UNIMPLEMENTED",
			Mend:   "decode with protobuf's own rules: skip unknown fields",
			run:    applied(func(tb TB) { checkLater(tb, target, c) }),
		},
		{
			Name: "base.drain", Title: "drains when it has nothing to do",
			Wanted: "Drain answers at once when nothing is in hand",
			Mend:   "let Drain return when every received batch is durable: none is",
			run: applied(func(tb TB) {
				h := Start(tb, target, c)
				if slices.Contains(h.Kinds, "source") {
					return // it may have begun to read; its own check drains it
				}
				if err := h.Drain(); err != nil {
					tb.Errorf("Drain: %v", err)
				}
			}),
		},
	}
}

// The limits of a description, as the host applies them.
var (
	validName   = regexp.MustCompile(`^[a-z][a-z0-9-]{1,47}$`)
	validFormat = regexp.MustCompile(`^[a-z][a-z0-9_.-]{0,47}$`)
	kindNames   = []string{"source", "parser", "detector", "enforcer", "scanner", "sink", "state"}
)

func checkDescription(tb TB, target Target) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), pb.DescribeTimeout)
	defer cancel()
	began := time.Now()
	d, err := describe(ctx, target)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer within %v: %w", time.Since(began).Round(100*time.Millisecond), err)
		}
		tb.Fatalf("%v", err)
	}
	wrong := func(bad bool, format string, args ...any) {
		tb.Helper()
		if bad {
			tb.Errorf(format, args...)
		}
	}
	wrong(!validName.MatchString(d.Name), "name %q: want 2 to 48 lower-case letters, digits and hyphens, beginning with a letter", d.Name)
	wrong(d.Api < pb.OldestAPI || d.Api > pb.API, "api %d: hosts serve %d to %d", d.Api, pb.OldestAPI, pb.API)
	wrong(d.Version == "" || len(d.Version) > 64, "version %q: want 1 to 64 bytes", d.Version)
	wrong(d.Summary == "" || len(d.Summary) > 512 || strings.ContainsRune(d.Summary, '\n'), "summary %q: want one line of at most 512 bytes", d.Summary)
	wrong(len(d.Kinds) == 0, "it names no kind")
	for i, k := range d.Kinds {
		wrong(!slices.Contains(kindNames, k) || slices.Contains(d.Kinds[:i], k), "kind %q: want each at most once, of %s", k, strings.Join(kindNames, ", "))
	}
	parser := slices.Contains(d.Kinds, "parser")
	wrong(parser && !validFormat.MatchString(d.Format), "format %q of the parser: want lower-case letters, digits, _ . -", d.Format)
	wrong(len(d.Config) > 0 && d.Section == "", "it declares keys and no section")
	for _, f := range d.Config {
		if _, err := defaultOf(f); err != nil {
			tb.Errorf("key %s, default %q: %v", f.Key, f.Default, err)
		}
	}
}

// checkLater speaks to the plugin as a host of years from now might.
func checkLater(tb TB, target Target, c HostConfig) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	p, err := target.Start(ctx)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(p.Stop)
	base := pb.NewPluginClient(p.Conn())
	ask := new(pb.DescribeRequest)
	later(ask)
	d, err := base.Describe(ctx, ask)
	if err != nil {
		tb.Fatalf("Describe with an unknown field: %s", explain(err))
	}
	request, err := c.request(d)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	later(request)
	if _, err := base.Configure(ctx, request); err != nil {
		tb.Fatalf("Configure with an unknown field: %s", explain(err))
	}
	health := new(pb.HealthRequest)
	later(health)
	if _, err := base.Health(ctx, health); err != nil {
		tb.Errorf("Health with an unknown field: %s", explain(err))
	}
	err = p.Conn().Invoke(ctx, "/ironpost.v1.Plugin/CallOfALaterHost", &pb.HealthRequest{}, &pb.HealthResponse{})
	if status.Code(err) != codes.Unimplemented {
		tb.Errorf("a call that it cannot know gives %v, want UNIMPLEMENTED", status.Code(err))
	}
	if _, err := base.Health(ctx, &pb.HealthRequest{}); err != nil {
		tb.Errorf("Health after that: %s", explain(err))
	}
}

// later adds a field that no version knows.
func later(m proto.Message) {
	b := protowire.AppendTag(nil, 15000, protowire.BytesType)
	m.ProtoReflect().SetUnknown(protowire.AppendBytes(b, []byte("from a later host")))
}

// idsOf returns the keys of a set, sorted.
func idsOf[V any](set map[string]V) []string { return slices.Sorted(maps.Keys(set)) }

// compare says in words how two sorted lists of ids differ, "" when they do not.
func compare(want, got []string) string {
	var missing, extra []string
	for _, id := range want {
		if !slices.Contains(got, id) {
			missing = append(missing, id)
		}
	}
	for _, id := range got {
		if !slices.Contains(want, id) {
			extra = append(extra, id)
		}
	}
	const most = 3
	var parts []string
	for _, side := range []struct {
		what string
		ids  []string
	}{{"missing", missing}, {"unexpected", extra}} {
		if n := len(side.ids); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s, as %s", n, side.what, strings.Join(side.ids[:min(n, most)], ", ")))
		}
	}
	return strings.Join(parts, "; ")
}
