package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// maxGroups bounds the groups that are told apart; alerts of further ones are
	// counted.
	maxGroups = 10_000
	// maxMembers bounds how many alerts of a group are changed at a time.
	maxMembers = 100_000
)

// alertGroup is what alerts with one fingerprint come to.
type alertGroup struct {
	fingerprint string
	// latest is the newest of them, without the events that it cites.
	latest *ironpostv1.AlertEvent
	worst  ironpostv1.Severity
	// alerts is their number, events that of the events they stand for.
	alerts, events uint64
	first, last    uint64
	states         map[string]uint64
	silenced       uint64
}

func (g *alertGroup) add(a *ironpostv1.AlertEvent) {
	if g.alerts == 0 || a.GetTime() < g.first {
		g.first = a.GetTime()
	}
	g.last = max(g.last, a.GetTime())
	g.alerts++
	g.events += a.GetCount()
	g.states[view.AlertState(a)]++
	if a.GetSilencedBy() != "" {
		g.silenced++
	}
	g.worst = max(g.worst, a.GetSeverity())
}

// append writes the group as JSON; every member is always there.
func (g *alertGroup) append(dst []byte) []byte {
	w := view.NewWriter(dst)
	text := func(name, value string) {
		w.Raw(name, func(dst []byte) []byte { return view.AppendString(dst, value) })
	}
	stamp := func(name string, ns uint64) {
		w.Raw(name, func(dst []byte) []byte { return view.AppendTime(dst, int64(ns)) })
	}
	w.Open("")
	text("fingerprint", g.fingerprint)
	text("rule_id", g.latest.GetRuleId())
	text("title", g.latest.GetTitle())
	text("severity", event.Severity(g.worst).String())
	w.Count("alerts", g.alerts)
	w.Count("count", g.events)
	stamp("first", g.first)
	stamp("last", g.last)
	w.Open("states")
	for _, s := range []string{"open", "acknowledged", "closed"} {
		w.Count(s, g.states[s])
	}
	w.Close()
	w.Count("silenced", g.silenced)
	text("latest_id", g.latest.GetId())
	w.Raw("entities", func(dst []byte) []byte { return view.AppendFields(dst, g.latest.GetEntities()) })
	w.Close()
	return w.Bytes()
}

// groupAlerts counts alerts by their fingerprint, in the order in which the newest of each
// came, without those that are silenced unless that is asked for. further is how many
// alerts there are of groups beyond maxGroups.
func groupAlerts(ctx context.Context, h *control.Client, req *ironpostv1.QueryRequest, silenced bool) (groups []*alertGroup, hidden int, further uint64, err error) {
	known := map[string]*alertGroup{}
	err = alertPages(ctx, h, req, func(f found) error {
		a := f.alert
		if a.GetSilencedBy() != "" && !silenced {
			hidden++
			return nil
		}
		id := view.Fingerprint(a)
		g := known[id]
		if g == nil {
			if len(groups) == maxGroups {
				further++
				return nil
			}
			a.Logs, a.Packets, a.Details, a.Description = nil, nil, nil, ""
			g = &alertGroup{fingerprint: id, latest: a, states: map[string]uint64{}}
			known[id] = g
			groups = append(groups, g)
		}
		g.add(a)
		return nil
	})
	return groups, hidden, further, err
}

func (c *cli) listGroups(ctx context.Context, h *control.Client, req *ironpostv1.QueryRequest, silenced bool) error {
	limit, skip := int(req.GetLimit()), int(req.GetSkip())
	req.Limit, req.Skip = pageSize, 0
	groups, hidden, further, err := groupAlerts(ctx, h, req, silenced)
	if err != nil {
		return fmt.Errorf("alerts list: %w", err)
	}
	if further > 0 {
		fmt.Fprintf(c.stderr, "%d alerts are of further groups, beyond the %d that are told apart; choose less, as with --since\n", further, maxGroups)
	}
	groups = groups[min(skip, len(groups)):]
	groups = groups[:min(limit, len(groups))]
	if c.json() {
		var list array
		for _, g := range groups {
			list.add(g.append)
		}
		err = c.printArray(&list)
	} else {
		t := newTable("LAST", "SEVERITY", "STATES", "ALERTS", "EVENTS", "FIRST", "GROUP", "LATEST", "RULE", "ABOUT")
		for _, g := range groups {
			t.row(stampNS(g.last), event.Severity(g.worst).String(), g.statesText(), count(g.alerts), count(g.events), stampNS(g.first), g.fingerprint,
				cut(g.latest.GetId(), 13), g.latest.GetRuleId(), cut(view.Printable(entities(g.latest)), 60))
		}
		err = c.printTable(t, "there are no such alerts")
	}
	c.sayHidden(hidden)
	return err
}

// statesText lists the states with their numbers: "3 open, 1 closed".
func (g *alertGroup) statesText() string {
	var parts []string
	for _, s := range []string{"open", "acknowledged", "closed"} {
		if n := g.states[s]; n > 0 {
			parts = append(parts, strconv.FormatUint(n, 10)+" "+s)
		}
	}
	if g.silenced > 0 {
		parts = append(parts, strconv.FormatUint(g.silenced, 10)+" silenced")
	}
	return strings.Join(parts, ", ")
}

// groupMembers returns the ids of the alerts of a group that are to come into a state: to
// acknowledge are those that are open, to close those that are not closed.
func groupMembers(ctx context.Context, h *control.Client, fingerprint, state string) ([]string, error) {
	from := []string{"open"}
	if state == "closed" {
		from = append(from, "acknowledged")
	}
	var ids []string
	for _, s := range from {
		req := &ironpostv1.QueryRequest{Kind: ironpostv1.Kind_KIND_ALERT, State: s, Limit: pageSize}
		err := alertPages(ctx, h, req, func(f found) error {
			if view.Fingerprint(f.alert) != fingerprint {
				return nil
			}
			if ids = append(ids, f.alert.GetId()); len(ids) > maxMembers {
				return invalid("the group has more than %d alerts", maxMembers)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("%w: no alert of such a group is %s; see: ironpost alerts list --group", control.ErrNotFound, strings.Join(from, " or "))
	}
	return ids, nil
}

// completeAlerts offers the ids of the newest alerts.
func (c *cli) completeAlerts(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var out []cobra.Completion
	_ = c.host(cmd.Context(), completionTimeout, func(ctx context.Context, h *control.Client) error { // without a host there is nothing to offer
		req := &ironpostv1.QueryRequest{Kind: ironpostv1.Kind_KIND_ALERT, Limit: 50}
		return findAlerts(ctx, h, req, func(f found) {
			id := cut(view.Printable(f.alert.GetId()), 33)
			if !slices.Contains(args, id) {
				out = append(out, cobra.CompletionWithDesc(id, cut(view.Printable(f.alert.GetRuleId()+" "+entities(f.alert)), 60)))
			}
		})
	})
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// completionTimeout is how long a shell may wait for what it offers.
const completionTimeout = 2 * time.Second
