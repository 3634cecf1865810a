package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/silence"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

func (c *cli) silenceCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "silence",
		Short: "Hold back alerts that are expected, for a time",
		Long: `A silence holds back the alerts that are raised while it holds and meet its conditions:
they are stored and exported, marked with its id; no enforcer sees them, and no webhook
sends them. alerts list leaves them out without --silenced.

A silence ends by itself, after 30 days at most; nothing makes it longer, and it is no
way to tune a rule: rules except is. Who made it, when and why is in the audit log.`,
	}
	group(cmd)
	cmd.AddCommand(c.silenceAddCmd(), c.silenceListCmd(), c.silenceRemoveCmd())
	return cmd
}

func (c *cli) silenceAddCmd() *cobra.Command {
	req := &ironpostv1.SilenceRequest{}
	var host, ttl, most string
	var dry bool
	cmd := &cobra.Command{
		Use:   "add --ttl TIME --reason WHY [--rule ID] [--entity NAME=VALUE]",
		Short: "Hold back the alerts that meet all conditions",
		Long: `An alert is held back when it meets every kind of condition that is given: it is of one
of the rules, raised by one of the detectors, has the entities (of several values of
one name, one), and is not too severe. An address may be given by its network; an id of
a rule that ends with * means all that begin so.

Alerts that were raised before stay as they are: close them.

Whoever can write what an entity is read from can have his alerts held back too: name
the rule besides, or say with --max-severity what is still to be told.

--dry-run changes nothing, and says how many of the stored alerts of the last 7 days
would have been held back.`,
		Example: `  ironpost alerts silence add --rule ssh_brute_force --entity src_ip=10.0.0.5 --ttl 8h \
    --reason "penetration test, ticket 4711"
  ironpost alerts silence add --entity src_ip=10.20.0.0/16 --max-severity medium --ttl 2d \
    --reason "vulnerability scanner of the week" --dry-run
  ironpost alerts silence add --host build7 --rule 'sbom.*' --ttl 7d --reason "is rebuilt"`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, flag := range []struct{ name, value string }{{"--ttl", ttl}, {"--reason", req.GetReason()}} {
				if flag.value == "" {
					return usage(cmd, "%s: %s is missing; for example --ttl 8h --reason \"ticket 4711\"", cmd.CommandPath(), flag.name)
				}
			}
			d, err := parseSpan(ttl)
			if err != nil {
				return fmt.Errorf("--ttl: %w", err)
			}
			req.TtlSeconds = d.Seconds()
			if most != "" {
				s, ok := event.ParseSeverity(most)
				if !ok {
					return invalid("--max-severity %s: there is no such severity; allowed are informational, low, medium, high, critical", most)
				}
				req.MaxSeverity = ironpostv1.Severity(s)
			}
			if host != "" {
				req.Entities = append(req.Entities, "host="+host)
			}
			if dry {
				return c.host(cmd.Context(), 0, func(ctx context.Context, h *control.Client) error { return c.previewSilence(ctx, h, req) })
			}
			return c.host(cmd.Context(), changeTimeout, func(ctx context.Context, h *control.Client) error {
				s, err := h.AddSilence(ctx, req)
				if err != nil {
					return fmt.Errorf("alerts silence add: %w", err)
				}
				if c.json() {
					return c.message(s)
				}
				return c.line("%s holds back %s until %s", s.GetId(), conditionsText(s), stamp(s.GetExpires()))
			})
		},
	}
	cmd.Flags().StringSliceVar(&req.Rules, "rule", nil, "id of a rule, or its beginning with *; may be repeated")
	cmd.Flags().StringArrayVar(&req.Entities, "entity", nil, "what the alert is about, as src_ip=10.0.0.5 or user=backup; may be repeated")
	cmd.Flags().StringVar(&host, "host", "", "short for --entity host=NAME: the machine that the lines are from")
	cmd.Flags().StringSliceVar(&req.Detectors, "detector", nil, "name of the plugin that raises the alert; may be repeated")
	cmd.Flags().StringVar(&most, "max-severity", "", "alerts that are more severe are not held back")
	cmd.Flags().StringVar(&ttl, "ttl", "", "for how long, as 30m, 8h or 7d; at most 30d")
	cmd.Flags().StringVar(&req.Reason, "reason", "", "why, for those who find it")
	cmd.Flags().BoolVar(&req.All, "all", false, "hold back every alert when nothing but a severity is named")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say how many stored alerts it would have held back")
	return cmd
}

// previewed is the answer of a dry run.
type previewed struct {
	// Judged are the stored alerts that were looked at, Held those that would have been
	// held back.
	Judged uint64    `json:"judged"`
	Held   uint64    `json:"held"`
	Since  time.Time `json:"since"`
}

// previewSpan is how far back a dry run looks.
const previewSpan = 7 * 24 * time.Hour

func (c *cli) previewSilence(ctx context.Context, h *control.Client, r *ironpostv1.SilenceRequest) error {
	match, err := silence.Preview(r)
	if err != nil {
		return err
	}
	p := previewed{Since: c.now().Add(-previewSpan).UTC().Truncate(time.Second)}
	req := &ironpostv1.QueryRequest{Kind: ironpostv1.Kind_KIND_ALERT, Since: uint64(p.Since.UnixNano()), Limit: pageSize}
	if err := alertPages(ctx, h, req, func(f found) error {
		p.Judged++
		if match(f.alert) {
			p.Held++
		}
		return nil
	}); err != nil {
		return fmt.Errorf("alerts silence add: %w", err)
	}
	if c.json() {
		return c.value(p)
	}
	return c.line("it would have held back %d of %d stored alerts since %s", p.Held, p.Judged, p.Since.Format(time.RFC3339))
}

func (c *cli) silenceListCmd() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "The silences, with what they hold back, until when and why",
		Long: `Lists the silences that hold, those first that end first, with how many alerts each held
back. With --all those too that ended within the last 90 days.`,
		Example: `  ironpost alerts silence list
  ironpost alerts silence list --all -o json | jq '.[] | {id, by, reason, held}'`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				resp, err := h.ListSilences(ctx, &ironpostv1.ListSilencesRequest{All: all})
				if err != nil {
					return fmt.Errorf("alerts silence list: %w", err)
				}
				if c.json() {
					return list(c, resp.GetSilences())
				}
				t := newTable("ID", "STATE", "EXPIRES", "HELD", "LAST", "BY", "HOLDS BACK", "REASON")
				for _, s := range resp.GetSilences() {
					t.row(s.GetId(), s.GetState(), stamp(s.GetExpires()), count(s.GetHeld()), stamp(s.GetLastHeld()), dash(s.GetBy()),
						cut(view.Printable(conditionsText(s)), 80), s.GetReason())
				}
				return c.printTable(t, "there are no silences")
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "those too that have ended")
	return cmd
}

func (c *cli) silenceRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "remove ID...",
		Short: "End silences: such alerts are told again",
		Long: `Ends silences before their time. The first 4 characters of an id will do. What they held
back stays marked; alerts list --silenced shows it.`,
		Example: `  ironpost alerts silence remove 5d41402abc4b`,
		Args:    between(1, -1, "ID"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var out []cobra.Completion
			_ = c.host(cmd.Context(), completionTimeout, func(ctx context.Context, h *control.Client) error { // without a host there is nothing to offer
				resp, err := h.ListSilences(ctx, &ironpostv1.ListSilencesRequest{})
				for _, s := range resp.GetSilences() {
					if !slices.Contains(args, s.GetId()) {
						out = append(out, cobra.CompletionWithDesc(s.GetId(), cut(view.Printable(s.GetReason()), 60)))
					}
				}
				return err
			})
			return out, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.host(cmd.Context(), changeTimeout, func(ctx context.Context, h *control.Client) error {
				var ended []*ironpostv1.Silence
				for _, id := range args {
					s, err := h.RemoveSilence(ctx, &ironpostv1.RemoveSilenceRequest{Id: id})
					if err != nil {
						return fmt.Errorf("alerts silence remove: %w", err)
					}
					ended = append(ended, s)
					if c.json() {
						continue
					}
					if err := c.line("%s removed: it held back %d alerts", s.GetId(), s.GetHeld()); err != nil {
						return err
					}
				}
				if c.json() {
					return list(c, ended)
				}
				return nil
			})
		},
	}
}

// conditionsText says what a silence holds back.
func conditionsText(s *ironpostv1.Silence) string {
	var parts []string
	add := func(name string, values []string) {
		if len(values) > 0 {
			parts = append(parts, name+strings.Join(values, ","))
		}
	}
	add("rule=", s.GetRules())
	parts = append(parts, s.GetEntities()...)
	add("detector=", s.GetDetectors())
	if len(parts) == 0 {
		parts = append(parts, "everything")
	}
	if m := s.GetMaxSeverity(); m != 0 {
		parts = append(parts, "up to "+event.Severity(m).String())
	}
	return strings.Join(parts, " ")
}

// silenceOf returns a silence by its id, nil when it is none or forgotten.
func silenceOf(ctx context.Context, h *control.Client, id string) *ironpostv1.Silence {
	if id == "" {
		return nil
	}
	resp, err := h.ListSilences(ctx, &ironpostv1.ListSilencesRequest{All: true})
	if err != nil {
		return nil // the alert is shown with the id alone
	}
	for _, s := range resp.GetSilences() {
		if s.GetId() == id {
			return s
		}
	}
	return nil
}

// silencedText says which silence held an alert back, and what is known of it.
func silencedText(id string, s *ironpostv1.Silence) string {
	if s == nil {
		return "by " + id
	}
	return fmt.Sprintf("by %s (%s, %s, until %s): %s", id, dash(s.GetBy()), s.GetState(), stamp(s.GetExpires()), s.GetReason())
}
