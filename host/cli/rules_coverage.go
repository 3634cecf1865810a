package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) rulesCoverageCmd() *cobra.Command {
	var formats []string
	var offline, each bool
	cmd := &cobra.Command{
		Use:   "coverage [PATH...]",
		Short: "How many rules can fire on this host, and why the others cannot",
		Long: `Judges the rules of the configuration, or of PATHs, by names: whether events of this
host belong to the log source of a rule, and whether they can have the fields without
which it never holds. A rule that "can fire" may still wait for a value that never
comes; one that is said not to fire cannot.

When a host runs, its streams are what counts: those that have delivered something,
and packets when an interface is watched. Otherwise, or with --offline, every format
counts whose parser is enabled and says which fields it gives, and packets count.
Parsers of open formats (json, kv, windows-event), whose records may hold anything,
count when --format names them.

Why a rule cannot fire:

  no_log_source      nothing that is known belongs to its category, product, service;
                     a file "mapping:" beside the rules can say what does
  not_fed            it is known what would belong to it, and no stream has it
  no_field           no parser of these streams gives a field that it needs
  no_packets         it looks at packets, and no interface is watched
  rules_cannot_fire  a correlation waits for rules that cannot
  disabled           the rule says so`,
		Example: `  ironpost rules coverage
  ironpost rules coverage --offline sigma/rules/linux --format json
  ironpost rules coverage --each
  ironpost rules coverage -o json | jq -r '.rules[] | select(.code == "no_field") | .id'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.app.CoverRules == nil {
				return notBuilt("judge the coverage of rules")
			}
			if err := existing(args); err != nil {
				return err
			}
			config := CoverageConfig{Sources: c.sources(), Paths: args, Formats: formats, Packets: true}
			hits := map[string]uint64{}
			online := false
			if !offline {
				var err error
				if online, err = c.fedBy(cmd.Context(), &config, hits); err != nil {
					return err
				}
			}
			rules, err := c.app.CoverRules(cmd.Context(), config)
			if err != nil {
				return fmt.Errorf("judge the coverage of rules: %w", err)
			}
			if len(rules) == 0 && len(hits) > 0 {
				return invalid("there are no rules in the configuration that was read here, and %d in the running host; name its configuration with --config, or the rules", len(hits))
			}
			for _, r := range rules {
				r.Hits = hits[r.GetId()]
			}
			return c.showCoverage(rules, online, each)
		},
	}
	cmd.Flags().StringSliceVar(&formats, "format", nil, "formats that count besides")
	cmd.Flags().BoolVar(&offline, "offline", false, "ask no running host")
	cmd.Flags().BoolVar(&each, "each", false, "one line for each rule")
	c.pluginDirFlag(cmd)
	return cmd
}

// fedBy asks the running host what it is fed with and which rules matched. It
// reports whether one runs.
func (c *cli) fedBy(ctx context.Context, config *CoverageConfig, hits map[string]uint64) (online bool, err error) {
	err = c.host(ctx, readTimeout, func(ctx context.Context, h *control.Client) error {
		status, err := h.Status(ctx, &ironpostv1.StatusRequest{})
		if err != nil {
			return err
		}
		config.Streams = append([]*ironpostv1.StreamStatus{}, status.GetStreams()...)
		config.Packets = slices.ContainsFunc(status.GetInterfaces(), func(i *ironpostv1.Interface) bool { return i.GetMode() != "" })
		rules, err := h.ListRules(ctx, &ironpostv1.ListRulesRequest{})
		for _, r := range rules.GetRules() {
			hits[r.GetId()] = r.GetHits()
		}
		return err
	})
	if errors.Is(err, control.ErrNotRunning) {
		return false, nil
	}
	return err == nil, err
}

// coverageGroup is why some rules cannot fire.
type coverageGroup struct {
	Code      string `json:"code"`
	LogSource string `json:"log_source"`
	// Missing are the fields that are missing, by one rule at least.
	Missing []string `json:"missing"`
	Rules   int      `json:"rules"`
}

// coverageGroups groups the rules that cannot fire, the most first.
func coverageGroups(rules []*ironpostv1.RuleCoverage) []coverageGroup {
	type key struct{ code, source, missing string }
	at := map[key]int{}
	out := []coverageGroup{}
	for _, r := range rules {
		if r.GetCanFire() {
			continue
		}
		k := key{r.GetCode(), r.GetLogSource(), ""}
		var missing []string
		if r.GetCode() == "no_field" {
			missing = r.GetMissing()
			k.missing = strings.Join(missing, " ")
		}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, coverageGroup{Code: k.code, LogSource: k.source, Missing: append([]string{}, missing...)})
		}
		out[i].Rules++
	}
	slices.SortStableFunc(out, func(a, b coverageGroup) int {
		return cmp.Or(cmp.Compare(b.Rules, a.Rules), cmp.Compare(a.Code, b.Code), cmp.Compare(a.LogSource, b.LogSource))
	})
	return out
}

// maxCoverageGroups is how many groups a table has, unless each rule is wanted.
const maxCoverageGroups = 40

func (c *cli) showCoverage(rules []*ironpostv1.RuleCoverage, online, each bool) error {
	canFire, fired := 0, 0
	byCode := map[string]int{}
	for _, r := range rules {
		if r.GetHits() > 0 {
			fired++
		}
		if r.GetCanFire() {
			canFire++
		} else {
			byCode[r.GetCode()]++
		}
	}
	groups := coverageGroups(rules)
	if c.json() {
		return c.coverageDocument(rules, groups, byCode, online, canFire, fired)
	}
	switch {
	case each:
		t := newTable("ID", "CAN FIRE", "WHY NOT", "HITS", "LOG SOURCE", "REASON")
		for _, r := range rules {
			reason := r.GetReason()
			if r.GetCanFire() {
				reason = "over " + strings.Join(r.GetFormats(), ", ")
			}
			t.row(r.GetId(), yes(r.GetCanFire()), dash(r.GetCode()), count(r.GetHits()), dash(r.GetLogSource()), reason)
		}
		if err := c.printTable(t, "there are no rules"); err != nil {
			return err
		}
	case len(groups) > 0:
		t := newTable("RULES", "WHY NOT", "LOG SOURCE", "MISSING")
		for _, g := range groups[:min(len(groups), maxCoverageGroups)] {
			t.row(count(g.Rules), g.Code, dash(g.LogSource), dash(strings.Join(g.Missing, " ")))
		}
		if err := c.printTable(t, ""); err != nil {
			return err
		}
		if more := len(groups) - maxCoverageGroups; more > 0 {
			if err := c.line("and %d more groups; --each or -o json show all", more); err != nil {
				return err
			}
		}
	}
	seen := ""
	if online {
		seen = fmt.Sprintf(", %d have matched something", fired)
	}
	return c.line("%d of %d rules can fire%s", canFire, len(rules), seen)
}

// coverageDocument prints counts, groups and rules.
func (c *cli) coverageDocument(rules []*ironpostv1.RuleCoverage, groups []coverageGroup, byCode map[string]int, online bool, canFire, fired int) error {
	type document struct {
		Online   bool            `json:"online"`
		Total    int             `json:"total"`
		CanFire  int             `json:"can_fire"`
		Fired    int             `json:"fired"`
		CannotBy map[string]int  `json:"cannot_by_code"`
		Groups   []coverageGroup `json:"groups"`
	}
	head, err := encode(document{online, len(rules), canFire, fired, byCode, groups})
	if err != nil {
		return err
	}
	raw := append(head[:len(head)-1], `,"rules":`...)
	return c.document(append(view.AppendList(raw, rules), '}'))
}
