package host

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/shared"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// openShared opens what plugins count, with what was kept of it.
func (d *daemon) openShared(s config.Host) error {
	d.shared = shared.New(shared.Config{
		Logger: d.log.Named("shared"), Raise: d.pipeline.Raise, Timeout: s.Fleet.Timeout, Expected: d.expectsEngine,
	})
	return d.shared.Keep(d.store)
}

// expectsEngine reports whether a plugin is enabled that reaches a state engine.
func (d *daemon) expectsEngine() bool { return d.roster != nil && d.roster.Reaches() }

// together works with a state engine while the process of its plugin is up.
func (d *daemon) together(ctx context.Context, plugin string, conn *link.Conn) error {
	d.shared.Use(plugin, conn)
	defer d.shared.Drop(plugin, conn)
	return d.fleet.Run(ctx, plugin, conn)
}

// sharedStatus tells how plugins count; nil when none does and no engine is expected.
func sharedStatus(s shared.Status) *pb.SharedStatus {
	c := s.Counts
	if c.Operations == 0 && s.Waiting == 0 && s.Engine == "" && !s.Expected {
		return nil
	}
	out := &pb.SharedStatus{
		Engine: s.Engine, Reachable: s.Reachable, Waiting: uint64(s.Waiting), Keys: uint64(s.Usage.Keys), Bytes: uint64(s.Usage.Bytes), //nolint:gosec // none is negative
	}
	if s.Engine != "" || s.Expected {
		out.Since = timestamppb.New(s.Since)
	}
	if s.Err != nil {
		out.Error = s.Err.Error()
	}
	for _, n := range []struct {
		name  string
		value uint64
	}{
		{"together", c.Together},
		{"local", c.Local},
		{"alone", c.Alone},
		{"alerts", c.Alerts},
		{"alerts_limited", c.Limited},
		{"merged", c.Merged},
		{"told_again", c.Again},
		{"slow_calls", c.Slow},
		{"failed_calls", c.Failed},
		{"refused_calls", c.Refused},
		{"dropped", c.Dropped},
		{"expired", c.Expired},
		{"unmergeable", c.Unmergeable},
		{"unsure", c.Unsure},
		{"evicted_keys", s.Usage.Evicted},
	} {
		if n.value > 0 {
			out.Counts = append(out.Counts, &pb.Count{Name: n.name, Value: n.value})
		}
	}
	return out
}
