package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

func (c *cli) rulesCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "List, check, test, explain and tune detection rules",
		Long: `Detection rules are YAML files; the host reads them from the rule directories of
its configuration and follows their changes.`,
	}
	group(cmd)
	cmd.AddCommand(c.rulesListCmd(), c.rulesValidateCmd(), c.rulesTestCmd(), c.rulesExplainCmd(), c.rulesCoverageCmd(), c.rulesExceptCmd())
	return cmd
}

func (c *cli) rulesListCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [PATH...]",
		Short: "The rules in force, or those of given files",
		Long: `Lists the rules in force, with how often each matched, when it did last and what it
costs, as the running host knows it. When no host runs, or PATHs are given, lists the
rules that would be loaded; then there are no such figures.

COST is how long the rule's condition takes for an event on average, over all events
since the rules were loaded: most events never reach it. One of 256 is timed, so that
seldom rules may show nothing. What is common to all rules is not in it.`,
		Example: `  ironpost rules list
  ironpost rules list ./rules
  ironpost rules list -o json | jq 'sort_by(-.cost_ns)[:10][] | [.cost_ns, .id]'
  ironpost rules list -o json | jq '.[] | select(.hits > 0) | .id'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			rules, err := c.rules(cmd.Context(), args)
			if err != nil {
				return err
			}
			if c.json() {
				return list(c, rules)
			}
			t := newTable("ID", "SEVERITY", "STATUS", "HITS", "ALERTS", "LAST HIT", "COST", "FILE", "TITLE")
			for _, r := range rules {
				t.row(r.GetId(), event.Severity(r.GetSeverity()).String(), dash(r.GetStatus()), count(r.GetHits()), count(r.GetAlerts()), stampNS(r.GetLastHit()), cost(r.GetCostNs()), dash(r.GetFile()), r.GetTitle())
			}
			return c.printTable(t, "there are no rules")
		},
	}
	c.pluginDirFlag(cmd)
	return cmd
}

// cost writes what a rule takes for an event: 0.04ns, 12.3ns, 1.5us.
func cost(ns float64) string {
	switch {
	case ns <= 0:
		return "-"
	case ns < 1:
		return fmt.Sprintf("%.2fns", ns)
	case ns < 1000:
		return fmt.Sprintf("%.1fns", ns)
	}
	return fmt.Sprintf("%.1fus", ns/1000)
}

func (c *cli) rules(ctx context.Context, paths []string) ([]*ironpostv1.Rule, error) {
	offline := func() ([]*ironpostv1.Rule, error) {
		if err := existing(paths); err != nil {
			return nil, err
		}
		if c.app.ListRules == nil {
			return nil, notBuilt("list rules without a host")
		}
		return c.app.ListRules(ctx, RulesConfig{Sources: c.sources(), Paths: paths})
	}
	if len(paths) > 0 {
		return offline()
	}
	var rules []*ironpostv1.Rule
	err := c.host(ctx, readTimeout, func(ctx context.Context, h *control.Client) error {
		resp, err := h.ListRules(ctx, &ironpostv1.ListRulesRequest{})
		rules = resp.GetRules()
		return err
	})
	if errors.Is(err, control.ErrNotRunning) && c.app.ListRules != nil {
		return offline()
	}
	return rules, err
}

func (c *cli) rulesValidateCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate PATH...",
		Short: "Check rule files without a host",
		Long: `Loads the rules of files and directories aside, exactly as a host would, and names
those that it would reject with file, line and reason. Needs no running host.
Exits with status 2 when anything is rejected.`,
		Example: `  ironpost rules validate rules/
  ironpost rules validate my-rule.yaml -o json`,
		Args: between(1, -1, "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.app.ValidateRules == nil {
				return notBuilt("check rules")
			}
			if err := existing(args); err != nil {
				return err
			}
			resp, err := c.app.ValidateRules(cmd.Context(), RulesConfig{Sources: c.sources(), Paths: args})
			if err != nil {
				return fmt.Errorf("check the rules of %s: %w", strings.Join(args, " "), err)
			}
			return c.showValidation(resp)
		},
	}
	c.pluginDirFlag(cmd)
	return cmd
}

func (c *cli) showValidation(resp *ironpostv1.BundleResponse) error {
	if c.json() {
		if err := c.message(resp); err != nil {
			return err
		}
	} else {
		for _, p := range resp.GetRejected() {
			where := p.GetFile()
			if p.GetLine() > 0 {
				where += ":" + strconv.FormatUint(uint64(p.GetLine()), 10)
			}
			if p.GetRule() != "" {
				where += ": " + p.GetRule()
			}
			if err := c.line("%s: %s (%s)", where, p.GetReason(), dash(p.GetCode())); err != nil {
				return err
			}
		}
		passed := ""
		if n := resp.GetSkipped(); n > 0 {
			passed = fmt.Sprintf(", %d documents that are no rules passed over", n)
		}
		if err := c.line("%d files, %d rules, %d loaded, %d rejected%s", resp.GetFiles(), resp.GetRules(), resp.GetLoaded(), len(resp.GetRejected()), passed); err != nil {
			return err
		}
	}
	if len(resp.GetRejected()) > 0 {
		return &exitError{exitUsage}
	}
	return nil
}

// existing refuses paths that do not exist; "-" is standard input.
func existing(paths []string) error {
	for _, p := range paths {
		if p == "-" {
			continue
		}
		if _, err := os.Stat(p); errors.Is(err, fs.ErrNotExist) {
			return invalid("%s: no such file or directory", p)
		} else if err != nil {
			return err
		}
	}
	return nil
}
