package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) rulesExplainCmd() *cobra.Command {
	var from origin
	config := ExplainConfig{}
	cmd := &cobra.Command{
		Use:   "explain --rule ID --event FILE",
		Short: "Say why a rule holds for an event, or why not",
		Long: `Parses the records of a file and holds a rule to each: its log source, then every
part of its condition, with the value that was found and the value that is wanted.
Of parts that must all hold it shows the first that does not, of parts of which one
is enough the first that does; --all shows every one. Filters are parts of the
condition. For thresholds and correlations it shows how near each group came, and
what is missing: events, values or rules.

The condition is read literally, part by part, not by the matcher that a host runs;
"alerts" is what a fresh engine raises for these records. Nothing is stored, and no
host has to run. FILE may be compressed by gzip; - is standard input. Records are logs: a
rule about packets, or about alerts of others, matches none of them.

In front of each part stands + when it holds and - when it does not.`,
		Example: `  ironpost rules explain --rule ssh_brute_force --event /var/log/auth.log
  echo "$LINE" | ironpost rules explain --rule ssh_root_login --event - --format syslog --all
  ironpost rules explain --rule my_rule --rules my-rules/ --event event.json -o json`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.app.ExplainRule == nil {
				return notBuilt("explain rules")
			}
			switch {
			case config.Rule == "":
				return usage(cmd, "%s: --rule is missing; ironpost rules list shows the ids", cmd.CommandPath())
			case config.File == "":
				return usage(cmd, "%s: --event is missing; name a file of records, or - for standard input", cmd.CommandPath())
			case config.Limit < 1 || config.Limit > maxExplained:
				return invalid("--limit %d: allowed are 1 to %d", config.Limit, maxExplained)
			}
			reference, err := from.times(c.now())
			if err != nil {
				return err
			}
			if err := existing(append(slices.Clone(config.Paths), config.File)); err != nil {
				return err
			}
			config.Sources, config.Format, config.ReferenceTime, config.TimeZone = c.sources(), from.format, reference, from.zone
			config.Stdin, config.Stderr = c.stdin, c.stderr
			x, err := c.app.ExplainRule(cmd.Context(), config)
			if err != nil {
				return fmt.Errorf("explain %s: %w", config.Rule, err)
			}
			if c.json() {
				return c.message(x)
			}
			return c.showExplanation(x, "")
		},
	}
	cmd.Flags().StringVar(&config.Rule, "rule", "", "id of the rule")
	cmd.Flags().StringVar(&config.File, "event", "", "file of records; - is standard input")
	cmd.Flags().StringSliceVar(&config.Paths, "rules", nil, "files and directories of rules, in place of the configured ones")
	cmd.Flags().StringVar(&config.Stream, "stream", "", "name of the stream that the records are said to come from (default: FILE)")
	cmd.Flags().BoolVar(&config.All, "all", false, "show every part of the condition")
	cmd.Flags().IntVar(&config.Limit, "limit", 10, "show so many records, and groups of a window; those that match first")
	from.flags(cmd)
	c.pluginDirFlag(cmd)
	return cmd
}

// maxExplained bounds --limit.
const maxExplained = 10_000

// showExplanation prints a rule and what it made of the events.
func (c *cli) showExplanation(x *ironpostv1.RuleExplanation, indent string) error {
	head := fmt.Sprintf("%s%s %s: %s", indent, x.GetKind(), x.GetId(), x.GetTitle())
	if x.GetFile() != "" {
		head += fmt.Sprintf(" (%s:%d)", x.GetFile(), x.GetLine())
	}
	lines := []string{head}
	if x.GetStatus() == "disabled" {
		lines = append(lines, indent+"  the rule is disabled, so a host does not run it")
	}
	if ids := x.GetFilters(); len(ids) > 0 {
		lines = append(lines, indent+"  with the filters "+strings.Join(ids, ", "))
	}
	for _, l := range lines {
		if err := c.line("%s", l); err != nil {
			return err
		}
	}
	for _, r := range x.GetRules() {
		if err := c.showExplanation(r, indent+"  "); err != nil {
			return err
		}
	}
	for _, f := range x.GetFindings() {
		if err := c.showEvent(f, indent+"  "); err != nil {
			return err
		}
	}
	for _, w := range x.GetWindows() {
		if err := c.showWindow(w, indent+"  "); err != nil {
			return err
		}
	}
	sum := fmt.Sprintf("%s  %d events, %d match", indent, x.GetEvents(), x.GetMatched())
	if x.GetKind() == "correlation" {
		sum = fmt.Sprintf("%s  %d events, %d matches of its rules", indent, x.GetEvents(), x.GetMatched())
	}
	if n := x.GetUngrouped(); n > 0 {
		sum += fmt.Sprintf(", %d of them lack a field of the group or the value", n)
	}
	if indent == "" {
		sum += fmt.Sprintf(", %d alerts", x.GetAlerts())
	}
	return c.line("%s", sum)
}

func (c *cli) showEvent(e *ironpostv1.EventExplanation, indent string) error {
	verdict := "does not match"
	if e.GetMatched() {
		verdict = "matches"
	}
	if err := c.line("%sevent %d %s: %s %s", indent, e.GetNumber(), verdict, stampNS(e.GetTime()), cut(e.GetMessage(), 120)); err != nil {
		return err
	}
	// The root joins log source and condition, and says nothing by itself.
	for _, p := range e.GetFinding().GetParts() {
		if err := c.showFinding(p, indent+"  "); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) showFinding(f *ironpostv1.RuleFinding, indent string) error {
	mark := "- "
	if f.GetHolds() {
		mark = "+ "
	}
	text := f.GetName()
	if text != "" && f.GetLine() > 0 {
		text += " (line " + strconv.FormatUint(uint64(f.GetLine()), 10) + ")"
	}
	if what := findingText(f); text == "" {
		text = what
	} else if what != "" {
		text += ": " + what
	}
	if err := c.line("%s%s%s", indent, mark, text); err != nil {
		return err
	}
	for _, p := range f.GetParts() {
		if err := c.showFinding(p, indent+"  "); err != nil {
			return err
		}
	}
	if len(f.GetParts()) > 0 && f.GetMore() > 0 {
		return c.line("%s  ... %d more with --all", indent, f.GetMore())
	}
	return nil
}

// findingText says what was found and what is wanted.
func findingText(f *ironpostv1.RuleFinding) string {
	switch f.GetOp() {
	case "all":
		return "all of"
	case "any":
		return "any of"
	case "not":
		return "not"
	case "logsource":
		return fmt.Sprintf("log source %s; wanted: %s", texts(f.GetFound(), 0, "of none that is known"), strings.Join(f.GetWanted(), " or "))
	}
	field := f.GetField()
	if field == "" {
		field = "the event"
	}
	found := field + " is not there"
	switch {
	case f.GetField() == "" && len(f.GetFound()) == 0:
		found = "nowhere in the event"
	case f.GetField() == "":
		found = "in " + texts(f.GetFound(), 0, "")
	case f.GetPresent():
		found = field + " is " + texts(f.GetFound(), 0, "there")
	}
	wanted := f.GetRelation()
	if len(f.GetWanted()) > 0 {
		wanted += " " + texts(f.GetWanted(), f.GetMore(), "")
	}
	return found + "; wanted: " + wanted
}

// texts lists quoted texts of which one is enough.
func texts(list []string, more uint32, none string) string {
	if len(list) == 0 {
		return none
	}
	var b strings.Builder
	for i, t := range list {
		if i > 0 {
			b.WriteString(" or ")
		}
		b.WriteString(strconv.Quote(t))
	}
	if more > 0 {
		fmt.Fprintf(&b, " or %d more", more)
	}
	return b.String()
}

func (c *cli) showWindow(w *ironpostv1.WindowExplanation, indent string) error {
	mark, verdict := "- ", "missing: "+strings.Join(w.GetMissing(), ", ")
	if w.GetComplete() {
		mark, verdict = "+ ", "complete"
	}
	var group []string
	for _, name := range slices.Sorted(maps.Keys(w.GetGroup())) {
		group = append(group, fmt.Sprintf("%s %q", name, w.GetGroup()[name]))
	}
	if len(group) == 0 {
		group = []string{"all events together"}
	}
	if err := c.line("%s%s%s: wanted: %s; found: %s; %s", indent, mark, strings.Join(group, ", "), w.GetWanted(), w.GetFound(), verdict); err != nil {
		return err
	}
	if w.GetEvents() == 0 {
		return nil
	}
	took := time.Duration(w.GetUpto() - w.GetFrom()) //nolint:gosec // ns of a window
	return c.line("%s    at best %d events in %s, from %s", indent, w.GetEvents(), span(took), stampNS(w.GetFrom()))
}
