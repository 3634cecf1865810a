package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

func (c *cli) alertsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "List, show, acknowledge and close alerts",
		Long: `Alerts are kept by a sink that can be asked, by default sink-sqlite. An alert is
open, acknowledged (somebody looks at it) or closed.`,
	}
	group(cmd)
	cmd.AddCommand(c.alertsListCmd(), c.alertsShowCmd(),
		c.alertsUpdateCmd("ack", "acknowledged", "Acknowledge alerts: somebody looks at them"),
		c.alertsUpdateCmd("close", "closed", "Close alerts: they are dealt with"))
	return cmd
}

// found is an alert with what its batch says about it.
type found struct {
	context view.Context
	alert   *ironpostv1.AlertEvent
}

// findAlerts asks for alerts and calls visit with each as it comes. The host's
// id makes the trace ids of the events that they cite.
func findAlerts(ctx context.Context, h *control.Client, req *ironpostv1.QueryRequest, visit func(found)) error {
	stream, err := h.Query(ctx, req) // the sink begins while the host says who it is
	if err != nil {
		return err
	}
	host, err := h.Status(ctx, &ironpostv1.StatusRequest{})
	if err != nil && !errors.Is(err, control.ErrNotSupported) {
		return err
	}
	return batches(stream, func(b *ironpostv1.Batch) {
		for _, a := range b.GetAlerts() {
			visit(found{view.ContextOf(host.GetHostId(), b), a})
		}
	})
}

func (c *cli) alertsListCmd() *cobra.Command {
	var f filter
	var least, state, rule string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Alerts, the newest first",
		Example: `  ironpost alerts list
  ironpost alerts list --since 24h --severity high --state open
  ironpost alerts list --where src_ip=192.0.2.7 -o json | jq '.[].title'`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req, err := c.request(&f, ironpostv1.Kind_KIND_ALERT)
			if err != nil {
				return err
			}
			if req.MinSeverity, err = severity(least); err != nil {
				return err
			}
			if !slices.Contains([]string{"", "open", "acknowledged", "closed"}, state) {
				return invalid("--state %s: there is no such state; allowed are open, acknowledged, closed", state)
			}
			req.State = state
			if rule != "" {
				req.Equal = append(req.Equal, &ironpostv1.Field{Key: "rule_id", Value: rule})
			}
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				return c.listAlerts(ctx, h, req)
			})
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&least, "severity", "", "only alerts at least this severe: informational, low, medium, high, critical")
	cmd.Flags().StringVar(&state, "state", "", "only alerts in this state: open, acknowledged, closed")
	cmd.Flags().StringVar(&rule, "rule", "", "only alerts of the rule with this id")
	return cmd
}

// listAlerts writes the alerts while the sink still reads them, and prints them
// once all have come: an answer that breaks off prints nothing.
func (c *cli) listAlerts(ctx context.Context, h *control.Client, req *ironpostv1.QueryRequest) error {
	var list array
	t := newTable("TIME", "SEVERITY", "STATE", "COUNT", "ID", "RULE", "ABOUT")
	err := findAlerts(ctx, h, req, func(f found) {
		a := f.alert
		if c.json() {
			list.add(func(dst []byte) []byte { return view.AppendAlert(dst, &f.context, a) })
			return
		}
		t.row(stampNS(a.GetTime()), event.Severity(a.GetSeverity()).String(), view.AlertState(a), count(a.GetCount()),
			cut(a.GetId(), 13), a.GetRuleId(), cut(view.Printable(entities(a)), 60))
	})
	switch {
	case err != nil:
		return fmt.Errorf("alerts list: %w", err)
	case c.json():
		return c.printArray(&list)
	}
	return c.printTable(t, "there are no such alerts")
}

func entities(a *ironpostv1.AlertEvent) string {
	parts := make([]string, 0, len(a.GetEntities()))
	for _, e := range a.GetEntities() {
		parts = append(parts, e.GetKey()+"="+e.GetValue())
	}
	return dash(strings.Join(parts, " "))
}

func (c *cli) alertsShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "One alert with the events that it cites",
		Long:  `Shows one alert with everything known about it. The first 8 digits of its id will do.`,
		Example: `  ironpost alerts show 1f0c22ab
  ironpost alerts show 1f0c22ab -o json | jq '.events[].message'`,
		Args: between(1, 1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				f, err := oneAlert(ctx, h, args[0])
				if err != nil {
					return err
				}
				if c.json() {
					return c.document(view.AppendAlert(nil, &f.context, f.alert))
				}
				return c.write(alertText(f))
			})
		},
	}
}

// oneAlert finds the alert with an id, or with the beginning of one.
func oneAlert(ctx context.Context, h *control.Client, id string) (found, error) {
	var alerts []found
	req := &ironpostv1.QueryRequest{Kind: ironpostv1.Kind_KIND_ALERT, Id: id, Limit: 2}
	err := findAlerts(ctx, h, req, func(f found) { alerts = append(alerts, f) })
	switch {
	case err != nil:
		return found{}, fmt.Errorf("alert %s: %w", id, err)
	case len(alerts) == 0:
		return found{}, fmt.Errorf("alert %s: %w; see: ironpost alerts list", id, control.ErrNotFound)
	case len(alerts) > 1:
		return found{}, fmt.Errorf("alert %s: %w: more than one id begins like this; give more digits", id, control.ErrConflict)
	}
	return alerts[0], nil
}

func alertText(f found) []byte {
	var b bytes.Buffer
	a := f.alert
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s%s\n", name, view.Printable(value))
		}
	}
	line("id", a.GetId())
	line("title", a.GetTitle())
	line("description", a.GetDescription())
	line("severity", event.Severity(a.GetSeverity()).String())
	line("state", view.AlertState(a))
	line("time", stampNS(a.GetTime()))
	line("rule", a.GetRuleId())
	line("detector", a.GetDetector())
	line("count", count(a.GetCount()))
	line("about", entities(a))
	for _, d := range a.GetDetails() {
		line("detail", d.GetKey()+"="+d.GetValue())
	}
	line("tags", strings.Join(a.GetTags(), ", "))
	line("evidence", event.Evidence(a.GetEvidence()).String()+", provenance "+event.Provenance(a.GetProvenance()).String())
	line("peer", a.GetPeer())
	if len(a.GetTraceId()) > 0 {
		line("trace id", fmt.Sprintf("%x", a.GetTraceId()))
	}
	if len(a.GetLogs())+len(a.GetPackets()) > 0 {
		b.WriteString("\nevents\n")
	}
	for _, e := range a.GetLogs() {
		text := fmt.Sprintf("%s %s[%d]: %s", dash(e.GetHost()), dash(e.GetProcess()), e.GetPid(), e.GetMessage())
		if len(e.GetRaw()) > 0 {
			text = fmt.Sprintf("(%s) %s", e.GetReason(), e.GetRaw())
		}
		fmt.Fprintf(&b, "  %s  %s\n", stampNS(e.GetTime()), view.Printable(text))
	}
	for _, p := range a.GetPackets() {
		fmt.Fprintf(&b, "  %s\n", view.AppendPacket(nil, &f.context, p))
	}
	return b.Bytes()
}

func (c *cli) alertsUpdateCmd(verb, state, short string) *cobra.Command {
	var note string
	cmd := &cobra.Command{
		Use:     verb + " ID...",
		Short:   short,
		Long:    short + `. The first 8 digits of an id will do.`,
		Example: "  ironpost alerts " + verb + " 1f0c22ab --note 'known scanner of our own'",
		Args:    between(1, -1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.host(cmd.Context(), changeTimeout, func(ctx context.Context, h *control.Client) error {
				done := make([]changed, 0, len(args))
				for _, id := range args {
					f, err := oneAlert(ctx, h, id)
					if err != nil {
						return err
					}
					_, err = h.UpdateAlert(ctx, &ironpostv1.UpdateRequest{AlertId: f.alert.GetId(), State: state, Note: note})
					if err != nil {
						return fmt.Errorf("alerts %s %s: %w", verb, id, err)
					}
					done = append(done, changed{ID: f.alert.GetId(), State: state})
					if !c.json() {
						if err := c.line("%s %s", f.alert.GetId(), state); err != nil {
							return err
						}
					}
				}
				if c.json() {
					return c.value(done)
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&note, "note", "", "why; it is kept with the alert")
	return cmd
}

// changed is the answer of ack and close.
type changed struct {
	ID    string `json:"id"`
	State string `json:"state"`
}
