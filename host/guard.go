package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/guard"
	"github.com/ironpost/ironpost/host/internal/resident"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (d *daemon) openGuard(s config.Host) (err error) {
	d.guard, err = guard.New(guard.Config{
		Logger: d.log.Named("guard"), Journal: d.journal, Store: d.store, Mode: d.responder.Mode, Policy: s.Guard,
		Alert: func(id string) (guard.Alert, bool) {
			a, known := d.responder.About(id)
			return guard.Alert(a), known
		},
		Enforcer: func(name string) guard.Enforcer {
			if conn := d.roster.Conn(name); conn != nil {
				return conn
			}
			return nil
		},
		Own:   own(),
		Raise: d.raiseUndone,
	})
	return err
}

// decide gives what an enforcer proposes to who carries it out.
func (d *daemon) decide(ctx context.Context, enforcer string, a *pb.ActionEvent) error {
	if guard.Knows(a.GetAction()) {
		return d.guard.Decide(ctx, enforcer, a)
	}
	return d.responder.Decide(ctx, enforcer, a)
}

// own returns what tells why nothing may be done to a container: the one that the host
// runs in. "" is for all others.
func own() func(target string) string {
	self := resident.Own().ID
	return func(target string) string {
		if self != "" && strings.HasPrefix(target, self) {
			return "the host runs in it"
		}
		return ""
	}
}

// undoneRule is the rule of alerts about answers that somebody keeps undoing.
const undoneRule = "ironpost.answer_undone"

// raiseUndone raises an alert about an answer that cannot be kept in effect.
func (d *daemon) raiseUndone(ctx context.Context, about *pb.ActionEvent, title, text string) error {
	now := uint64(time.Now().UnixNano())
	return d.alerts.Alert(ctx, &pb.AlertEvent{
		Id: about.Id + "-undone", Time: now, ObservedTime: now, RuleId: undoneRule, Title: title, Description: text,
		Severity: pb.Severity_SEVERITY_HIGH, Detector: "host", Group: about.Target, Count: 1, TraceId: about.TraceId,
		Evidence: pb.Evidence_EVIDENCE_CONFIRMED, Provenance: pb.Provenance_PROVENANCE_HOST,
		Entities: []*pb.Field{{Key: "container_id", Value: about.Target}},
	})
}

// answers is the part of the control API about answers that enforcers carry out.
type answers struct{ d *daemon }

// enforcer returns the name that is given, or that of the only one that runs.
func (a answers) enforcer(name string) (string, error) {
	if name != "" {
		return name, nil
	}
	found := a.d.roster.Find(func(desc *pb.Description) bool {
		return slices.Contains(desc.Kinds, "enforcer") && len(desc.Permissions.GetDocker()) > 0
	})
	names := slices.Sorted(maps.Keys(found))
	switch len(names) {
	case 0:
		return "", fmt.Errorf("%w: no enforcer for containers runs; see: ironpost plugin list", control.ErrConflict)
	case 1:
		return names[0], nil
	}
	return "", fmt.Errorf("%w: %s run; name one with --enforcer", control.ErrInvalid, strings.Join(names, " and "))
}

// ListIntents implements control.Guard.
func (a answers) ListIntents(ctx context.Context, all bool, limit int) ([]*pb.GuardIntent, error) {
	return a.d.guard.ListIntents(ctx, all, limit)
}

// errFound ends a query.
var errFound = errors.New("found")

// alert finds an alert in the sink.
func (a answers) alert(ctx context.Context, id string) (*pb.AlertEvent, error) {
	var alert *pb.AlertEvent
	err := a.d.Query(ctx, &pb.QueryRequest{Kind: pb.Kind_KIND_ALERT, Id: id, Limit: 1}, func(b *pb.Batch) error {
		records := b
		if len(b.Payload) > 0 {
			records = new(pb.Batch)
			if err := proto.Unmarshal(b.Payload, records); err != nil {
				return err
			}
		}
		if len(records.Alerts) > 0 {
			alert = records.Alerts[0]
			return errFound
		}
		return nil
	})
	switch {
	case alert != nil:
		return alert, nil
	case err != nil:
		return nil, err
	}
	return nil, fmt.Errorf("%w: no alert %q; see: ironpost alerts list", control.ErrNotFound, id)
}

// PlanAnswer implements control.Guard.
func (a answers) PlanAnswer(ctx context.Context, enforcer, alertID string, plan *pb.PlanRequest) (*pb.PlanResponse, error) {
	name, err := a.enforcer(enforcer)
	if err != nil {
		return nil, err
	}
	plan = proto.CloneOf(plan)
	plan.Alert = nil
	if alertID != "" {
		if plan.Alert, err = a.alert(ctx, alertID); err != nil {
			return nil, err
		}
	}
	return a.d.guard.Plan(ctx, name, plan)
}

// Isolate implements control.Guard.
func (a answers) Isolate(ctx context.Context, order control.IsolateOrder, actor string) ([]*pb.GuardIntent, error) {
	name, err := a.enforcer(order.Enforcer)
	if err != nil {
		return nil, err
	}
	return a.d.guard.Isolate(ctx, guard.Order{
		Enforcer: name, Target: order.Target, Action: cmp.Or(order.Action, "net-isolate"), Reason: order.Reason, Actor: actor, TTL: order.TTL,
	})
}

// ReleaseIntents implements control.Guard.
func (a answers) ReleaseIntents(ctx context.Context, id, actor string) ([]*pb.GuardIntent, error) {
	return a.d.guard.ReleaseIntents(ctx, id, actor)
}

// Approve implements control.Guard.
func (a answers) Approve(ctx context.Context, id, actor string) (*pb.GuardIntent, error) {
	return a.d.guard.Approve(ctx, id, actor)
}
