package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/view"
	"github.com/ironpost/ironpost/sdk/sdktest/suite"
)

func (c *cli) pluginTestCmd() *cobra.Command {
	var t ConformConfig
	cmd := &cobra.Command{
		Use:   "test FILE",
		Short: "Hold a plugin to the contract of its kind, faults included",
		Long: `Runs the conformance suite against a plugin in any language, as the host would run
it: its bytes are copied and hashed, it describes itself in the strictest sandbox,
and then runs with the permissions that it asks for. It is sent work, hostile and
oversized records and damaged state; it is stopped and continued, read slowly, cut
off, drained in a hurry, killed, and given everything again.

Give it something to work on: --lines to a parser, --events to a detector, --alerts
to an enforcer, --feed to a source, --target to a scanner. What cannot be checked
without is named. A sink and a source work on what their section names (--set, or
the file of --config): name a place that may be filled with rubbish.

Each check that fails says what is wanted, what was observed and where to look. Exit
status: 0 when none failed, 1 when one did.`,
		Example: `  ironpost plugin test ./parser-acme --lines testdata/lines.log
  ironpost parse --format syslog auth.log >events.ndjson
  ironpost plugin test ./detector-acme --events events.ndjson --set threshold=3
  ironpost plugin test ./source-acme --set paths=/tmp/feed --feed /tmp/feed
  ironpost plugin test ./parser-acme -o json | jq '.results[] | select(.outcome == "fail")'`,
		Args: between(1, 1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.app.Conform == nil {
				return notBuilt("test plugins")
			}
			t.Sources, t.File = c.sources(), args[0]
			if err := existing(args); err != nil {
				return err
			}
			if !c.json() {
				t.Done = c.showAsTheyCome()
			}
			report, err := c.app.Conform(cmd.Context(), t)
			if err != nil {
				return fmt.Errorf("plugin test %s: %w", args[0], err)
			}
			return c.showResults(args[0], report)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&t.Lines, "lines", "", "file of records that the parser parses, one a line")
	flags.StringVar(&t.Events, "events", "", "NDJSON file of events that make the detector raise an alert, as parse and events tail write it")
	flags.StringVar(&t.Alerts, "alerts", "", "NDJSON file of alerts that make the enforcer propose an answer")
	flags.StringVar(&t.Feed, "feed", "", "file that the source reads; lines are appended to it")
	flags.StringSliceVar(&t.Targets, "target", nil, "what the scanner can scan; may be repeated")
	flags.StringArrayVar(&t.Values, "set", nil, "KEY=VALUE of the plugin's section; may be repeated")
	flags.BoolVar(&t.Stateless, "stateless", false, "the detector may forget what it saw when it dies")
	return cmd
}

// showAsTheyCome shows each result, from the moment on at which the plugin has
// described itself: of one that cannot, a sentence says everything.
func (c *cli) showAsTheyCome() func(suite.Result) {
	var held []byte
	described := false
	return func(r suite.Result) {
		held = append(held, resultText(r)...)
		if described = described || r.Check == "host.describe" && r.Outcome != suite.Fail; described {
			_ = c.write(held) // an error shows again with the sum
			held = nil
		}
	}
}

// showResults ends the run: with everything as JSON, or with the sum of what was
// shown as it came.
func (c *cli) showResults(file string, r *suite.Report) error {
	if c.json() {
		if err := c.value(r); err != nil {
			return err
		}
		return failedReport(r)
	}
	if r.Plugin == "" {
		for _, failed := range r.Results {
			if failed.Outcome == suite.Fail && failed.Check == "host.describe" {
				return fmt.Errorf("plugin test %s: %s\n  %s", file, strings.Join(failed.Observed, "; "), failed.Mend)
			}
		}
		return failedReport(r)
	}
	err := c.line("%s %s (%s): %d passed, %d failed, %d not applicable",
		r.Plugin, r.Version, strings.Join(r.Kinds, ", "), r.Passed, r.Failed, r.NotApplicable)
	if err != nil {
		return err
	}
	return failedReport(r)
}

// failedReport is the exit status of a report.
func failedReport(r *suite.Report) error {
	if r.Failed > 0 {
		return &exitError{exitFailed}
	}
	return nil
}

// resultText is one check for a person.
func resultText(r suite.Result) []byte {
	var b strings.Builder
	line := func(name, text string) { fmt.Fprintf(&b, "      %-9s %s\n", name, view.Printable(text)) }
	switch r.Outcome {
	case suite.Pass:
		fmt.Fprintf(&b, "pass  %s (%.1f s)\n", r.Title, r.Seconds)
	case suite.NotApplicable:
		fmt.Fprintf(&b, "n/a   %s: %s\n", r.Title, view.Printable(strings.Join(r.Observed, "; ")))
	default:
		fmt.Fprintf(&b, "FAIL  %s (%s)\n", r.Title, r.Check)
		line("wanted", r.Wanted)
		for _, o := range r.Observed {
			line("observed", o)
		}
		line("mend", r.Mend)
	}
	return []byte(b.String())
}
