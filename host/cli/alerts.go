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
		Short: "List, show, acknowledge, close, silence and export alerts",
		Long: `Alerts are kept by a sink that can be asked, by default sink-sqlite. An alert is
open, acknowledged (somebody looks at it) or closed. Alerts of one rule about the same
thing have the same fingerprint: alerts list --group counts them.

A silence holds alerts back that are expected: they are kept, and nobody is told and
nothing is done about them.`,
	}
	group(cmd)
	c.storeFlag(cmd)
	cmd.AddCommand(c.alertsListCmd(), c.alertsShowCmd(),
		c.alertsUpdateCmd("ack", "acknowledged", "Acknowledge alerts: somebody looks at them"),
		c.alertsUpdateCmd("close", "closed", "Close alerts: they are dealt with"), c.alertsExportCmd(), c.silenceCmd())
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

// alertFilter holds the flags that choose alerts.
type alertFilter struct {
	filter
	least, state, rule string
}

func (f *alertFilter) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.least, "severity", "", "only alerts at least this severe: informational, low, medium, high, critical")
	cmd.Flags().StringVar(&f.state, "state", "", "only alerts in this state: open, acknowledged, closed")
	cmd.Flags().StringVar(&f.rule, "rule", "", "only alerts of the rule with this id")
}

// alertRequest turns the flags into a query.
func (c *cli) alertRequest(f *alertFilter) (*ironpostv1.QueryRequest, error) {
	req, err := c.request(&f.filter, ironpostv1.Kind_KIND_ALERT)
	if err != nil {
		return nil, err
	}
	if req.MinSeverity, err = severity(f.least); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"", "open", "acknowledged", "closed"}, f.state) {
		return nil, invalid("--state %s: there is no such state; allowed are open, acknowledged, closed", f.state)
	}
	req.State = f.state
	if f.rule != "" {
		req.Equal = append(req.Equal, &ironpostv1.Field{Key: "rule_id", Value: f.rule})
	}
	return req, nil
}

func (c *cli) alertsListCmd() *cobra.Command {
	var f alertFilter
	var silenced, grouped bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Alerts, the newest first",
		Long: `Lists alerts. Those that a silence held back are left out, and their number is said on
stderr, unless --silenced asks for them too.

With --group one line stands for all alerts of a rule about the same thing: how many
there are, how many events they stand for, from when to when, the worst severity and
their states. All that the other flags choose are counted, however many; --limit and
--skip are about groups. Acknowledge or close a group by its fingerprint.`,
		Example: `  ironpost alerts list
  ironpost alerts list --since 24h --severity high --state open
  ironpost alerts list --where src_ip=192.0.2.7 -o json | jq '.[].title'
  ironpost alerts list --group --since 7d --state open`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req, err := c.alertRequest(&f)
			if err != nil {
				return err
			}
			if grouped {
				return c.host(cmd.Context(), 0, func(ctx context.Context, h *control.Client) error {
					return c.listGroups(ctx, h, req, silenced)
				})
			}
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				return c.listAlerts(ctx, h, req, silenced)
			})
		},
	}
	f.filter.flags(cmd)
	f.flags(cmd)
	f.textFlag(cmd)
	cmd.Flags().BoolVar(&silenced, "silenced", false, "the alerts too that a silence held back")
	cmd.Flags().BoolVarP(&grouped, "group", "g", false, "one line for all alerts of a rule about the same thing")
	return cmd
}

// listAlerts writes the alerts while the sink still reads them, and prints them
// once all have come: an answer that breaks off prints nothing.
func (c *cli) listAlerts(ctx context.Context, h *control.Client, req *ironpostv1.QueryRequest, silenced bool) error {
	var list array
	t := newTable("TIME", "SEVERITY", "STATE", "COUNT", "ID", "RULE", "ABOUT")
	limit, skip, hidden := req.GetLimit(), req.GetSkip(), 0
	req.Limit, req.Skip = min(limit+skip, control.MaxQuery), 0
	enough := func() error {
		if limit--; limit == 0 {
			return errEnough
		}
		return nil
	}
	err := alertPages(ctx, h, req, func(f found) error {
		a := f.alert
		switch {
		case a.GetSilencedBy() != "" && !silenced:
			hidden++
			return nil
		case skip > 0:
			skip--
			return nil
		}
		if c.json() {
			list.add(func(dst []byte) []byte { return view.AppendAlert(dst, &f.context, a) })
			return enough()
		}
		t.row(stampNS(a.GetTime()), event.Severity(a.GetSeverity()).String(), stateText(a), count(a.GetCount()),
			cut(a.GetId(), 13), a.GetRuleId(), cut(view.Printable(entities(a)), 60))
		return enough()
	})
	if err != nil {
		return fmt.Errorf("alerts list: %w", err)
	}
	if c.json() {
		err = c.printArray(&list)
	} else {
		err = c.printTable(t, "there are no such alerts")
	}
	c.sayHidden(hidden)
	return err
}

// sayHidden tells how many alerts were left out because they are silenced.
func (c *cli) sayHidden(n int) {
	if n > 0 {
		fmt.Fprintf(c.stderr, "%d silenced alerts are not shown; --silenced shows them too\n", n)
	}
}

// stateText is the state of an alert for a table.
func stateText(a *ironpostv1.AlertEvent) string {
	if a.GetSilencedBy() != "" {
		return view.AlertState(a) + " (silenced)"
	}
	return view.AlertState(a)
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
		Args:              between(1, 1, "ID"),
		ValidArgsFunction: c.completeAlerts,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				f, err := oneAlert(ctx, h, args[0])
				if err != nil {
					return err
				}
				if c.json() {
					return c.document(view.AppendAlert(nil, &f.context, f.alert))
				}
				return c.write(alertText(f, silenceOf(ctx, h, f.alert.GetSilencedBy())))
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

// alertText shows an alert for people, with the silence that held it back, nil for none or
// one that is forgotten.
func alertText(f found, s *ironpostv1.Silence) []byte {
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
	if id := a.GetSilencedBy(); id != "" {
		line("silenced", silencedText(id, s))
	}
	line("fingerprint", view.Fingerprint(a))
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
	if len(a.GetHistory()) > 0 {
		b.WriteString("\nhistory\n")
	}
	for _, change := range a.GetHistory() {
		text := fmt.Sprintf("%s by %s", change.GetState(), dash(change.GetActor()))
		if change.GetNote() != "" {
			text += ": " + change.GetNote()
		}
		fmt.Fprintf(&b, "  %s  %s\n", stampNS(change.GetTime()), view.Printable(text))
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
	var groups []string
	cmd := &cobra.Command{
		Use:   verb + " ID... | --group FINGERPRINT",
		Short: short,
		Long: short + `. The first 8 digits of an id will do.
Who did it, when and why is kept with the alert: alerts show.

--group means all alerts of a group that are not ` + state + ` yet, as alerts list --group
shows it. Alerts that are raised later are not.`,
		Example: "  ironpost alerts " + verb + " 1f0c22ab --note 'known scanner of our own'\n" +
			"  ironpost alerts " + verb + " --group 5d41402abc4b --note 'patched'",
		Args:              between(0, -1, ""),
		ValidArgsFunction: c.completeAlerts,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && len(groups) == 0 {
				return usage(cmd, "%s: ID or --group is missing", cmd.CommandPath())
			}
			timeout := changeTimeout
			if len(groups) > 0 {
				timeout = 0 // there may be many
			}
			return c.host(cmd.Context(), timeout, func(ctx context.Context, h *control.Client) error {
				return c.updateAlerts(ctx, h, args, groups, &ironpostv1.UpdateRequest{State: state, Note: note}, verb)
			})
		},
	}
	cmd.Flags().StringVar(&note, "note", "", "why; it is kept with the alert")
	cmd.Flags().StringSliceVarP(&groups, "group", "g", nil, "fingerprint of a group, all alerts of which are meant; may be repeated")
	return cmd
}

// updateAlerts changes the state of alerts that are named, then of those in groups.
func (c *cli) updateAlerts(ctx context.Context, h *control.Client, ids, groups []string, u *ironpostv1.UpdateRequest, verb string) error {
	done := make([]changed, 0, len(ids))
	var failed []string // stores, by their names
	update := func(id string) error {
		one := &ironpostv1.UpdateRequest{AlertId: id, State: u.GetState(), Note: u.GetNote(), LeaveOut: failed}
		r, err := h.UpdateAlert(ctx, one)
		if err != nil {
			return fmt.Errorf("alerts %s %s: %w", verb, id, err)
		}
		for _, missed := range r.GetMissed() {
			fmt.Fprintln(c.stderr, view.Printable(fmt.Sprintf("ironpost: %s is as it was in another store; try again with --store later: %s", id, missed)))
			if name, _, _ := strings.Cut(missed, ": "); !slices.Contains(failed, name) {
				failed = append(failed, name)
			}
		}
		done = append(done, changed{ID: id, State: u.GetState(), Missed: r.GetMissed()})
		if c.json() {
			return nil
		}
		return c.line("%s %s", id, u.GetState())
	}
	for _, id := range ids {
		f, err := oneAlert(ctx, h, id)
		if err != nil {
			return err
		}
		if err := update(f.alert.GetId()); err != nil {
			return err
		}
	}
	for _, group := range groups {
		members, err := groupMembers(ctx, h, group, u.GetState())
		if err != nil {
			return fmt.Errorf("alerts %s --group %s: %w", verb, group, err)
		}
		for _, id := range members {
			if err := update(id); err != nil {
				return err
			}
		}
	}
	if c.json() {
		return c.value(done)
	}
	return nil
}

// changed is the answer of ack and close.
type changed struct {
	ID    string `json:"id"`
	State string `json:"state"`
	// Missed are stores where it has the state that it had, and why.
	Missed []string `json:"missed,omitempty"`
}
