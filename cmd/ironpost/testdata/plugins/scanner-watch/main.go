// Command scanner-watch is a scanner for tests that finds by itself: so many alerts,
// and twice as many packages as alerts, which change while it looks. What it says of
// them at the end depends on the configuration alone, whenever it begins anew.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func main() {
	s := &scanner{cfg: config{Alerts: 10}}
	os.Exit(sdk.Main(sdk.Plugin{
		Name:    "scanner-watch",
		Version: "1.0.0",
		Summary: "Finds by itself, for tests",
		Section: "scanner_watch",
		Config:  &s.cfg,
		Setup: func(_ context.Context, env sdk.Env) error {
			s.count = env.Counter
			return nil
		},
		Scanner: s,
	}))
}

type config struct {
	Alerts int           `config:"alerts" help:"how many alerts it raises"`
	Pause  time.Duration `config:"pause" help:"how long it waits before each"`
}

type scanner struct {
	cfg   config
	count func(name string, n uint64)
}

var _ sdk.Watcher = (*scanner)(nil)

// Scan tells the target.
func (s *scanner) Scan(_ context.Context, req sdk.ScanRequest, out io.Writer) (string, error) {
	_, err := io.WriteString(out, req.Target)
	return "text", err
}

// Watch finds everything, counts that as found, and goes on until ctx is done.
func (s *scanner) Watch(ctx context.Context, out sdk.Findings) error {
	gone := "container:" + strings.Repeat("b", 64)
	for i := range s.cfg.Alerts {
		if err := s.find(ctx, out, i, gone); err != nil {
			return err
		}
	}
	// The container is gone, with what was in it; of the host every fifth package.
	if err := out.Record(ctx, &event.InventoryEvent{Target: gone, Removed: true}); err != nil {
		return err
	}
	for i := 0; i < s.cfg.Alerts; i += 5 {
		if err := out.Record(ctx, &event.InventoryEvent{Target: "host", PURL: purl(i), Removed: true}); err != nil {
			return err
		}
	}
	if err := out.Sync(ctx); err != nil {
		return err
	}
	s.count("found", 1)
	<-ctx.Done()
	return nil
}

func purl(i int) string { return fmt.Sprintf("pkg:npm/p%d@1.0.%d", i, i) }

// find raises the alert with a number and records its packages.
func (s *scanner) find(ctx context.Context, out sdk.Findings, i int, gone string) error {
	select {
	case <-time.After(s.cfg.Pause):
	case <-ctx.Done():
		return ctx.Err()
	}
	container := strings.Repeat("a", 64)
	alert := &event.AlertEvent{
		RuleID: "sbom.vulnerable", Title: "A vulnerable package is in use", Severity: event.SeverityHigh, Group: fmt.Sprint(i),
		Evidence: event.EvidenceConfirmed,
	}
	alert.SetEntity("container_id", container)
	alert.SetEntity("package", fmt.Sprintf("p%d", i))
	if err := out.Raise(ctx, alert); err != nil {
		return err
	}
	e := &event.InventoryEvent{
		Target: "host", Name: fmt.Sprintf("p%d", i), Version: fmt.Sprintf("1.0.%d", i), Ecosystem: "npm", PURL: purl(i),
		Locations: []string{"/srv/app/package-lock.json"},
		Findings:  []event.Finding{{ID: "GHSA-1", Aliases: []string{fmt.Sprintf("CVE-2026-%d", 1000+i)}, Severity: event.SeverityHigh, Score: 8.1, Fixed: "2.0.0"}},
	}
	if err := out.Record(ctx, e); err != nil {
		return err
	}
	e.InUse = i%2 == 0 // and now it is known
	if err := out.Record(ctx, e); err != nil {
		return err
	}
	e.Target, e.TargetName = "container:"+container, "web1"
	if i%3 == 0 {
		e.Target, e.TargetName = gone, "gone"
	}
	return out.Record(ctx, e)
}
