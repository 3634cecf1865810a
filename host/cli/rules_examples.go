package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) rulesTestCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test PATH...",
		Short: "Run the examples beside rules and patterns",
		Long: `Runs the examples in files and directories, without a host:

  rules     A file with "cases:" has input lines for a rule and the alerts that they
            must and must not raise. It lies beside the rules or in a folder named
            examples; for a rule's file examples/FILE is looked at too. Each case is
            parsed by the parser of its format and has an engine of its own.
  patterns  Each line in a file of extraction patterns (rules/extract) must be read by
            its pattern and give exactly the fields beside it. These patterns also
            read the lines of the cases.

What is wrong is named with file, line and reason: what the example wants (-) and
what came (+), and, when an alert is missing, what kept the rule from it. Rules that
cannot be loaded are wrong too. Exits with status 2 when anything is wrong.`,
		Example: `  ironpost rules test rules/
  ironpost rules test my-rules/acme.yaml
  ironpost rules test rules/ -o json | jq -r '.untested[]'`,
		Args: between(1, -1, "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.app.TestRules == nil {
				return notBuilt("test rules")
			}
			if err := existing(args); err != nil {
				return err
			}
			report, err := c.app.TestRules(cmd.Context(), RulesConfig{Sources: c.sources(), Paths: args})
			if err != nil {
				return fmt.Errorf("test the rules of %s: %w", strings.Join(args, " "), err)
			}
			return c.showRuleTests(report)
		},
	}
	c.pluginDirFlag(cmd)
	return cmd
}

// maxUntested is how many rules without examples are named.
const maxUntested = 10

func (c *cli) showRuleTests(report *ironpostv1.RuleTestReport) error {
	if c.json() {
		if err := c.message(report); err != nil {
			return err
		}
	} else {
		for _, f := range report.GetFailed() {
			if err := c.showRuleTestFailure(f); err != nil {
				return err
			}
		}
		if ids := report.GetUntested(); len(ids) > 0 {
			more := ""
			if len(ids) > maxUntested {
				ids, more = ids[:maxUntested], fmt.Sprintf(" and %d more", len(ids)-maxUntested)
			}
			if err := c.line("without examples: %s%s", strings.Join(ids, ", "), more); err != nil {
				return err
			}
		}
		if err := c.line("%d files, %d examples, %d passed, %d failed", report.GetFiles(), report.GetExamples(), report.GetPassed(), len(report.GetFailed())); err != nil {
			return err
		}
	}
	if len(report.GetFailed()) > 0 {
		return &exitError{exitUsage}
	}
	return nil
}

func (c *cli) showRuleTestFailure(f *ironpostv1.RuleTestFailure) error {
	where := f.GetFile()
	if f.GetLine() > 0 {
		where += ":" + strconv.FormatUint(uint64(f.GetLine()), 10)
	}
	if f.GetRule() != "" {
		where += ": " + f.GetRule()
	}
	if f.GetExample() != "" {
		where += ": " + f.GetExample()
	}
	if err := c.line("%s: %s (%s)", where, f.GetReason(), dash(f.GetCode())); err != nil {
		return err
	}
	for _, line := range difference(f.GetWanted(), f.GetGot()) {
		if err := c.line("    %s", line); err != nil {
			return err
		}
	}
	if f.GetHint() != "" {
		return c.line("    why: %s", f.GetHint())
	}
	return nil
}

// difference shows what has to go (-) and what has to come (+), in the order of
// wanted; what is equal stands between them.
func difference(wanted, got []string) (out []string) {
	for len(wanted) > 0 && len(got) > 0 {
		switch {
		case wanted[0] == got[0]:
			out = append(out, "  "+wanted[0])
			wanted, got = wanted[1:], got[1:]
		case slices.Contains(got, wanted[0]):
			out = append(out, "+ "+got[0])
			got = got[1:]
		case slices.Contains(wanted, got[0]):
			out = append(out, "- "+wanted[0])
			wanted = wanted[1:]
		default:
			out = append(out, "- "+wanted[0], "+ "+got[0])
			wanted, got = wanted[1:], got[1:]
		}
	}
	for _, line := range wanted {
		out = append(out, "- "+line)
	}
	for _, line := range got {
		out = append(out, "+ "+line)
	}
	return out
}
