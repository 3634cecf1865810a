package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) guardCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "guard",
		Short: "Answers on containers: plan, isolate, approve, release",
		Long: `An enforcer answers alerts about containers as the policies say: it collects
evidence, cuts a container off its networks, pauses, stops or kills it. Every effect
has an end, and what was is restored then. In the modes detect and simulate no
container is touched; simulate records what would be done.`,
	}
	group(cmd)
	cmd.AddCommand(c.guardPlanCmd(), c.guardIsolateCmd(), c.guardReleaseCmd(), c.guardApproveCmd(), c.guardHistoryCmd(),
		c.guardEvidenceCmd(), c.guardDisableCmd(), c.guardEnableCmd())
	return cmd
}

func (c *cli) guardPlanCmd() *cobra.Command {
	var alert, container, policy, action, enforcer string
	cmd := &cobra.Command{
		Use:   "plan [--alert ID | --container NAME] [--policy FILE]",
		Short: "What would be done about an alert or a container, and why",
		Long: `Shows which container an alert means, which policy decides and why those before it
do not, and the exact calls of the Docker API that would be made, in their order.
Nothing is changed. With --policy the policies of a file decide in place of those in
force; what is wrong with it is said with its line, and exit status 2. --policy alone
checks a file, and shows its policies in the order in which they are asked.

About a --container the policies are asked without an alert: what they say of its
severity, rule and tags is passed over.`,
		Example: `  ironpost guard plan --alert 8a51f0c2
  ironpost guard plan --policy new.yaml
  ironpost guard plan --policy new.yaml --container web-1
  ironpost guard plan --policy new.yaml --alert 8a51f0c2 -o json | jq '.steps[].calls'
  ironpost guard plan --container web-1 --action pause`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case alert != "" && container != "":
				return usage(cmd, "give either --alert or --container")
			case alert == "" && container == "" && policy == "":
				return usage(cmd, "give --alert or --container, or --policy to check a file")
			case action != "" && container == "":
				return usage(cmd, "--action is for a --container")
			}
			ask := &ironpostv1.PlanRequest{Target: container, Action: action}
			if policy != "" {
				text, err := readPolicy(policy)
				if err != nil {
					return usage(cmd, "%v", err)
				}
				ask.Policy, ask.PolicyName = text, policy
				if len(policy) > control.MaxGuardName {
					ask.PolicyName = filepath.Base(policy)
				}
			}
			return c.host(cmd.Context(), changeTimeout, func(ctx context.Context, h *control.Client) error {
				plan, err := h.PlanAnswer(ctx, &ironpostv1.PlanAnswerRequest{Enforcer: enforcer, AlertId: alert, Plan: ask})
				if err != nil {
					return fmt.Errorf("guard plan: %w", err)
				}
				if c.json() {
					return c.message(plan)
				}
				if alert == "" && container == "" {
					return c.printPolicies(plan)
				}
				return c.printPlan(plan)
			})
		},
	}
	cmd.Flags().StringVar(&alert, "alert", "", "the id of an alert, or its first 8 digits or more")
	cmd.Flags().StringVar(&container, "container", "", "a container, by name or id")
	cmd.Flags().StringVar(&policy, "policy", "", "a file of policies to judge by")
	cmd.Flags().StringVar(&action, "action", "", "with --container: net-isolate, pause, stop, kill or evidence, whatever the policies say")
	cmd.Flags().StringVar(&enforcer, "enforcer", "", "the enforcer to ask, where more than one runs")
	return cmd
}

func readPolicy(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the policies: %w", err)
	case !info.Mode().IsRegular() || info.Size() > control.MaxPolicyBytes:
		return nil, fmt.Errorf("read the policies: %s is no file of at most %d bytes", name, control.MaxPolicyBytes)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the policies: %w", err)
	}
	return text, nil
}

// printPolicies shows the policies of a file that is valid.
func (c *cli) printPolicies(p *ironpostv1.PlanResponse) error {
	if err := c.line("valid; asked in this order, the first that matches decides:"); err != nil {
		return err
	}
	for i, policy := range p.GetPolicies() {
		if err := c.line("%d. %s", i+1, view.Printable(policy.GetName()+" ("+policy.GetFile()+") "+policy.GetReason())); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) printPlan(p *ironpostv1.PlanResponse) error {
	target := "none"
	if p.GetTarget() != "" {
		target = fmt.Sprintf("%s (%.12s)", p.GetTargetName(), p.GetTarget())
	}
	lines := []string{"container  " + target}
	if p.GetResolution() != "" {
		lines = append(lines, "because    "+p.GetResolution())
	}
	for i, policy := range p.GetPolicies() {
		label := "          "
		if i == 0 {
			label = "policies  "
		}
		verdict := "passes: " + policy.GetReason()
		if policy.GetMatched() {
			verdict = "decides"
		}
		lines = append(lines, fmt.Sprintf("%s %s (%s) %s", label, policy.GetName(), policy.GetFile(), verdict))
	}
	if len(p.GetSteps()) == 0 {
		lines = append(lines, "nothing would be done")
	}
	for i, s := range p.GetSteps() {
		how := s.GetIntent().GetAction()
		if s.GetRefused() != "" {
			how += ", refused: " + s.GetRefused()
		}
		lines = append(lines, fmt.Sprintf("%d. %s", i+1, how))
		for _, call := range s.GetCalls() {
			lines = append(lines, "     "+call)
		}
	}
	for _, line := range lines {
		if err := c.line("%s", view.Printable(line)); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) guardIsolateCmd() *cobra.Command {
	order := &ironpostv1.IsolateRequest{}
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "isolate CONTAINER",
		Short: "Cut a container off, or pause or stop it, for a time",
		Long: `Has an enforcer act on one container, by name or id, as an operator's order: limits
of how many are under an answer at once do not hold for it, protected containers stay
protected. What was is restored when the time is over.`,
		Example: `  ironpost guard isolate web-1 --ttl 1h --reason "beacons to 203.0.113.9"
  ironpost guard isolate web-1 --action pause --ttl 10m`,
		Args: between(1, 1, "CONTAINER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if ttl <= 0 {
				return usage(cmd, "--ttl: want a time such as 10m or 1h")
			}
			order.Target, order.TtlSeconds = args[0], ttl.Seconds()
			return c.host(cmd.Context(), changeTimeout, func(ctx context.Context, h *control.Client) error {
				resp, err := h.Isolate(ctx, order)
				if err != nil {
					return fmt.Errorf("guard isolate: %w", err)
				}
				return c.printIntents(resp.GetIntents(), "nothing is done")
			})
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long it lasts")
	cmd.Flags().StringVar(&order.Action, "action", "net-isolate", "net-isolate, pause, stop, kill or evidence")
	cmd.Flags().StringVar(&order.Reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&order.Enforcer, "enforcer", "", "the enforcer to use, where more than one runs")
	return cmd
}

func (c *cli) guardReleaseCmd() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "release (ID | CONTAINER | --all)",
		Short: "Restore a container before its time",
		Long: `Ends the effect of one intent, or all about one container, and restores what was.
With --all everything that is in effect is released; intents that have not begun never
do. New alerts are answered as before: against that helps ironpost guard disable.`,
		Example: `  ironpost guard release web-1
  ironpost guard release --all`,
		Args: between(0, 1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return usage(cmd, "give an intent or a container, or --all")
			}
			return c.host(cmd.Context(), changeTimeout, func(ctx context.Context, h *control.Client) error {
				resp, err := h.ReleaseIntents(ctx, &ironpostv1.IntentRequest{Id: strings.Join(args, ""), All: all})
				if err != nil {
					return fmt.Errorf("guard release: %w", err)
				}
				return c.printIntents(resp.GetIntents(), "nothing was in effect")
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "everything that is in effect")
	return cmd
}

func (c *cli) guardApproveCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "approve ID",
		Short: "Agree to an answer that waits for it",
		Long: `Agrees, as the user who calls, to an intent in the state planned. One that needs two
approvals needs them of two users.`,
		Example: `  ironpost guard history
  ironpost guard approve 8a51f0c2`,
		Args: between(1, 1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.host(cmd.Context(), changeTimeout, func(ctx context.Context, h *control.Client) error {
				in, err := h.ApproveIntent(ctx, &ironpostv1.IntentRequest{Id: args[0]})
				if err != nil {
					return fmt.Errorf("guard approve: %w", err)
				}
				return c.printIntents([]*ironpostv1.GuardIntent{in}, "")
			})
		},
	}
}

func (c *cli) guardHistoryCmd() *cobra.Command {
	var all bool
	var limit uint32
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Answers on containers: those in effect, or all",
		Long: `Lists intents, the newest first: those that wait or are in effect, or with --all also
those that are over. States: planned (waits for approval), approved, executing,
applied, partial, unknown (looked at again), releasing; released, expired, failed,
done, refused.`,
		Example: `  ironpost guard history
  ironpost guard history --all -o json | jq '.[] | {target_name, action, state, note}'`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				resp, err := h.ListIntents(ctx, &ironpostv1.ListIntentsRequest{All: all, Limit: limit})
				if err != nil {
					return fmt.Errorf("guard history: %w", err)
				}
				return c.printIntents(resp.GetIntents(), "no container is under an answer")
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also those that are over")
	cmd.Flags().Uint32Var(&limit, "limit", 100, "how many at most; 0 is no limit")
	return cmd
}

func (c *cli) printIntents(intents []*ironpostv1.GuardIntent, none string) error {
	if c.json() {
		return list(c, intents)
	}
	t := newTable("ID", "CREATED", "CONTAINER", "ACTION", "STATE", "EXPIRES", "POLICY", "NOTE")
	for _, in := range intents {
		name := in.GetTargetName()
		if name == "" {
			name = fmt.Sprintf("%.12s", in.GetTarget())
		}
		state := in.GetState()
		if n := int(in.GetApprovals()) - len(in.GetApproved()); state == "planned" && n > 0 {
			state = fmt.Sprintf("planned, needs %d", n)
		}
		note := in.GetNote()
		if note == "" {
			note = in.GetReason()
		}
		t.row(fmt.Sprintf("%.12s", in.GetId()), stamp(in.GetCreated()), name, in.GetAction(), state, stamp(in.GetExpires()), dash(in.GetPolicy()), note)
	}
	return c.printTable(t, none)
}
