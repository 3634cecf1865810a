package cli

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/cli/internal/except"
	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) rulesExceptCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "except",
		Short: "Tune rules: make, list, edit and remove exceptions",
		Long: `An exception is a Sigma filter that keeps a rule from firing on events with certain
values, until it expires. Each is a file in the folder exceptions of the rules, or in
--dir; the host takes up its changes like those of rules.`,
	}
	group(cmd)
	cmd.AddCommand(c.exceptAddCmd(), c.exceptListCmd(), c.exceptEditCmd(), c.exceptRemoveCmd())
	return cmd
}

// The expiry of exceptions.
const (
	defaultExceptTTL = "30d"
	maxExceptTTL     = 366 * 24 * time.Hour
)

// exceptFolders returns the folders of exceptions: dir alone, else those of all
// folders of rules. There is one at least.
func (c *cli) exceptFolders(ctx context.Context, dir string) ([]string, error) {
	if dir != "" {
		return []string{dir}, nil
	}
	if c.app.RulePaths == nil {
		return nil, notBuilt("find the folders of rules; name one with --dir")
	}
	paths, err := c.app.RulePaths(ctx, c.sources())
	if err != nil {
		return nil, fmt.Errorf("find the folders of rules: %w", err)
	}
	var out []string
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.IsDir() {
			out = append(out, filepath.Join(p, except.Folder))
		}
	}
	if len(out) == 0 {
		return nil, invalid("there is no folder of rules (rules.paths); name one for the exceptions with --dir")
	}
	return out, nil
}

// expiry turns a --ttl into a time.
func (c *cli) expiry(ttl string) (time.Time, error) {
	d, err := parseSpan(ttl)
	if err != nil {
		return time.Time{}, fmt.Errorf("--ttl: %w", err)
	}
	if d <= 0 || d > maxExceptTTL {
		return time.Time{}, invalid("--ttl %s: allowed are more than 0 and at most 366d", ttl)
	}
	return c.now().Add(d).UTC().Truncate(time.Second), nil
}

func (c *cli) exceptAddCmd() *cobra.Command {
	var alert, ttl, reason, dir string
	var fields []string
	var dry bool
	cmd := &cobra.Command{
		Use:   "add --from-alert ID",
		Short: "Except from a rule what an alert is about",
		Long: `Writes an exception for the rule of an alert: events that have the values of the
alert in all of the fields count for that rule no more. Without --field these are the
fields that the rule groups by, or else src_ip, user, process, container_id and
command, as far as the alert has them. More fields make it narrower.

It shows which of the stored alerts of the rule it would have suppressed: those of
which every cited event is left out. Of the others that cite such events fewer may
come. --dry-run writes nothing.

The exception of an alert that a correlation raised is for the rules that the
correlation counts. The same exception made again replaces itself.`,
		Example: `  ironpost rules except add --from-alert 1f0c22ab --dry-run
  ironpost rules except add --from-alert 1f0c22ab --field src_ip,user --ttl 7d --reason "backup job"`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if alert == "" {
				return usage(cmd, "%s: --from-alert is missing; ironpost alerts list shows the ids", cmd.CommandPath())
			}
			expires, err := c.expiry(ttl)
			if err != nil {
				return err
			}
			x := except.Exception{Reason: reason, By: operator(), Created: c.now().UTC().Truncate(time.Second), Expires: expires}
			var all []*except.Exception
			effect := exceptEffect{Alerts: []string{}}
			err = c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				f, err := oneAlert(ctx, h, alert)
				if err != nil {
					return err
				}
				x.FromAlert = f.alert.GetId()
				if x.Fields, err = exceptFields(f.alert, fields); err != nil {
					return err
				}
				if all, err = forRule(ctx, h, f.alert.GetRuleId(), x); err != nil {
					return err
				}
				return effect.judge(ctx, h, f.alert.GetRuleId(), &x)
			})
			if err != nil {
				return err
			}
			if !dry {
				folders, err := c.exceptFolders(cmd.Context(), dir)
				if err != nil {
					return err
				}
				for _, x := range all {
					if err := x.Write(folders[0]); err != nil {
						return err
					}
				}
			}
			return c.showExceptAdded(all, &effect, dry)
		},
	}
	cmd.Flags().StringVar(&alert, "from-alert", "", "id of the alert, or its first 8 digits")
	cmd.Flags().StringSliceVar(&fields, "field", nil, "field whose value has to be that of the alert; may be repeated")
	cmd.Flags().StringVar(&ttl, "ttl", defaultExceptTTL, "for how long, as 12h or 30d; at most 366d")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who come later")
	cmd.Flags().StringVar(&dir, "dir", "", "folder of the exceptions (default: exceptions in the first folder of rules)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only show what it would do")
	return cmd
}

// operator is who runs the command line: with sudo, who called it. "" where nobody knows.
func operator() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	if name := os.Getenv("SUDO_USER"); name != "" && u.Uid == "0" {
		return name
	}
	return u.Username
}

// usualFields are those that an exception is about when nobody names them.
var usualFields = []string{"src_ip", "user", "process", "container_id", "command"}

// exceptFields returns the fields of an exception with the values that an alert has
// for them.
func exceptFields(a *ironpostv1.AlertEvent, names []string) (map[string]string, error) {
	chosen := len(names) > 0
	if !chosen {
		if by := except.Field(a.GetDetails(), "group_by"); by != "" {
			names = strings.Split(by, ", ")
		} else {
			names = usualFields
		}
	}
	out := map[string]string{}
	for _, name := range names {
		value := except.Field(a.GetEntities(), name)
		for _, l := range a.GetLogs() {
			switch v := except.LogField(l, name); {
			case v == "" || strings.EqualFold(v, value):
			case value == "":
				value = v
			case chosen:
				return nil, invalid("--field %s: the events of the alert have different values, such as %q and %q; leave it out, or take another alert", name, value, v)
			default:
				value = v
			}
		}
		switch {
		case value != "":
			out[name] = value
		case chosen:
			return nil, invalid("--field %s: the alert has no such field; it has %s", name, strings.Join(alertFields(a), ", "))
		}
	}
	if len(out) == 0 {
		return nil, invalid("the alert has none of the usual fields; name some with --field: it has %s", strings.Join(alertFields(a), ", "))
	}
	return out, nil
}

// alertFields are the fields that an alert has a value for.
func alertFields(a *ironpostv1.AlertEvent) []string {
	var out []string
	for _, f := range a.GetEntities() {
		out = append(out, f.GetKey())
	}
	for _, l := range a.GetLogs() {
		for _, f := range l.GetFields() {
			out = append(out, f.GetKey())
		}
		for _, name := range []string{"process", "host", "message"} {
			if except.LogField(l, name) != "" {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// forRule makes of an exception those for a rule: one for each log source, when it
// is a correlation and its rules have several.
func forRule(ctx context.Context, h *control.Client, id string, x except.Exception) ([]*except.Exception, error) {
	resp, err := h.ListRules(ctx, &ironpostv1.ListRulesRequest{})
	if err != nil {
		return nil, err
	}
	byID := map[string]*ironpostv1.Rule{}
	for _, r := range resp.GetRules() {
		byID[r.GetId()] = r
	}
	if byID[id] == nil {
		return nil, invalid("rule %s is not in force: only what a rule finds can be excepted, and not what another detector does", id)
	}
	bySource := map[string]*except.Exception{}
	var out []*except.Exception
	seen := map[string]bool{}
	var add func(id string)
	add = func(id string) {
		r := byID[id]
		if r == nil || seen[id] {
			return
		}
		seen[id] = true
		for _, other := range r.GetRules() {
			add(other)
		}
		if r.GetLogSource() == "" {
			return
		}
		one := bySource[r.GetLogSource()]
		if one == nil {
			other := x
			one = &other
			one.LogSource = r.GetLogSource()
			bySource[one.LogSource] = one
			out = append(out, one)
		}
		one.Rules = append(one.Rules, id)
	}
	add(id)
	for _, one := range out {
		one.Name()
	}
	if len(out) == 0 {
		return nil, invalid("the detector does not say what rule %s is for, so it cannot be excepted", id)
	}
	return out, nil
}

// exceptEffect is what an exception would have done to stored alerts.
type exceptEffect struct {
	// Judged are the alerts of the rule that were looked at, Suppressed those that
	// would not have come, Weakened those that cite some of the events left out.
	Judged     int `json:"judged"`
	Suppressed int `json:"suppressed"`
	Weakened   int `json:"weakened"`
	// Alerts are the ids of the suppressed ones, the newest first.
	Alerts []string `json:"alerts"`
	shown  []*ironpostv1.AlertEvent
}

// maxEffect is how many suppressed alerts are shown.
const maxEffect = 10

func (e *exceptEffect) judge(ctx context.Context, h *control.Client, rule string, x *except.Exception) error {
	req := &ironpostv1.QueryRequest{
		Kind: ironpostv1.Kind_KIND_ALERT, Limit: control.MaxQuery, Equal: []*ironpostv1.Field{{Key: "rule_id", Value: rule}},
	}
	return query(ctx, h, req, func(b *ironpostv1.Batch) {
		for _, a := range b.GetAlerts() {
			e.Judged++
			switch out, all := x.Match(a); {
			case out == all:
				e.Suppressed++
				e.Alerts = append(e.Alerts, a.GetId())
				if len(e.shown) < maxEffect {
					e.shown = append(e.shown, a)
				}
			case out > 0:
				e.Weakened++
			}
		}
	})
}

func (c *cli) showExceptAdded(all []*except.Exception, e *exceptEffect, dry bool) error {
	if c.json() {
		return c.value(struct {
			Written    bool                `json:"written"`
			Exceptions []*except.Exception `json:"exceptions"`
			Effect     *exceptEffect       `json:"effect"`
		}{!dry, all, e})
	}
	for _, x := range all {
		where := "would be written"
		if !dry {
			where = x.File
		}
		if err := c.line("%s: %s not where %s, until %s (%s)", x.ID, strings.Join(x.Rules, ", "), x.When(), x.Expires.Format(time.RFC3339), where); err != nil {
			return err
		}
	}
	if err := c.line("of %d stored alerts of the rule it would have suppressed %d, and weakened %d", e.Judged, e.Suppressed, e.Weakened); err != nil {
		return err
	}
	for _, a := range e.shown {
		if err := c.line("  %s  %s  %s", a.GetId(), stampNS(a.GetTime()), cut(a.GetTitle(), 80)); err != nil {
			return err
		}
	}
	if more := e.Suppressed - len(e.shown); more > 0 {
		return c.line("  and %d more", more)
	}
	return nil
}
