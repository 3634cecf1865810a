package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/view"
)

// origin holds the flags of verbs that read files as logs.
type origin struct {
	format, reference, zone string
}

func (o *origin) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.format, "format", "", "format of the records: syslog, json, web, auditd, kv, text, or that of a plugin")
	cmd.Flags().StringVar(&o.reference, "reference-time", "", "RFC 3339 time or date that dates stamps without a year (default: now)")
	cmd.Flags().StringVar(&o.zone, "time-zone", "", "IANA name of the zone of stamps that carry none, as Europe/Zurich (default: this machine's)")
}

// times checks the flags that are about time.
func (o *origin) times(now time.Time) (reference time.Time, err error) {
	if o.zone != "" {
		if _, err := time.LoadLocation(o.zone); err != nil {
			return time.Time{}, invalid("--time-zone %s: there is no such zone; write for example UTC or Europe/Zurich", o.zone)
		}
	}
	if o.reference == "" {
		return time.Time{}, nil
	}
	if reference, err = parseWhen(o.reference, now); err != nil {
		return time.Time{}, fmt.Errorf("--reference-time: %w", err)
	}
	return reference, nil
}

func (c *cli) replayCmd() *cobra.Command {
	var from origin
	var rules []string
	cmd := &cobra.Command{
		Use:   "replay PATH...",
		Short: "Send log files through the pipeline and print the alerts",
		Long: `Sends whole files through the pipeline (parsers, detectors, rules) in the time of
their events, prints each alert as one JSON object a line, and sums up on stderr.
Nothing is stored, nothing is blocked; no host has to run and no root is needed.

Of a directory all logs below it are read; the generations of a log (a.log.2.gz,
a.log.1, a.log, a.log-20260131) are one stream, the oldest first. Logs are read one
after the other. Files that gzip compressed are decompressed. What holds no text is
left out, and named.

Without --format the format of each stream is detected. --rules replaces the rules
of the configuration. PATH - is standard input.`,
		Example: `  ironpost replay --format syslog /var/log/auth.log
  ironpost replay --format syslog --rules ./rules auth.log | jq -r .entities.src_ip
  ironpost replay /mnt/image/var/log
  ironpost replay --format syslog --reference-time 2024-12-31 auth.log.2.gz`,
		Args: between(1, -1, "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.app.Replay == nil {
				return notBuilt("replay files")
			}
			reference, err := from.times(c.now())
			if err != nil {
				return err
			}
			if err := existing(slices.Concat(args, rules)); err != nil {
				return err
			}
			started := c.now()
			sum, err := c.app.Replay(cmd.Context(), ReplayConfig{
				Sources: c.sources(), Files: args, Format: from.format, Rules: rules, ReferenceTime: reference, TimeZone: from.zone,
				Stdin: c.stdin, Stdout: c.stdout, Stderr: c.stderr,
			})
			if err != nil {
				return fmt.Errorf("replay: %w", err)
			}
			fmt.Fprintln(c.stderr, view.Printable(replayText(sum, c.now().Sub(started))))
			return nil
		},
	}
	from.flags(cmd)
	cmd.Flags().StringSliceVar(&rules, "rules", nil, "file or directory with rules, used instead of the configured ones; may be repeated")
	c.pluginDirFlag(cmd)
	return cmd
}

func replayText(s ReplaySummary, took time.Duration) string {
	var why []string
	for _, reason := range slices.Sorted(maps.Keys(s.UnparsedReasons)) {
		why = append(why, fmt.Sprintf("%s %d", reason, s.UnparsedReasons[reason]))
	}
	unparsed := fmt.Sprintf("%d unparsed", s.Unparsed)
	if len(why) > 0 {
		unparsed += " (" + strings.Join(why, ", ") + ")"
	}
	files := fmt.Sprintf("%d files", s.Files)
	if s.Left > 0 {
		files += fmt.Sprintf(" (%d left out or damaged)", s.Left)
	}
	return fmt.Sprintf("replay: %s, %d records, %d parsed, %s, %d late, %d alerts in %v",
		files, s.Records, s.Parsed, unparsed, s.Late, s.Alerts, took.Round(time.Millisecond))
}

func (c *cli) parseCmd() *cobra.Command {
	var from origin
	cmd := &cobra.Command{
		Use:   "parse --format FORMAT FILE",
		Short: "Show what a parser makes of a log file",
		Long: `Prints one JSON object for each record of a file, in order: the log event that the
parser of the format makes of it. A record that it cannot parse gives an event
with the flag "unparsed", the reason, and its bytes (raw, raw_base64); that is no
error. Needs no running host. FILE - is standard input.`,
		Example: `  ironpost parse --format syslog /var/log/auth.log
  journalctl -o json -n 100 | ironpost parse --format json -
  ironpost parse --format syslog auth.log | jq -c 'select(.reason != "") | [.reason, .raw]'`,
		Args: between(1, 1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.app.Parse == nil {
				return notBuilt("parse files")
			}
			if from.format == "" {
				return usage(cmd, "parse: --format is missing, as in --format syslog")
			}
			reference, err := from.times(c.now())
			if err != nil {
				return err
			}
			if err := existing(args); err != nil {
				return err
			}
			err = c.app.Parse(cmd.Context(), ParseConfig{
				Sources: c.sources(), File: args[0], Format: from.format, ReferenceTime: reference, TimeZone: from.zone,
				Stdin: c.stdin, Stdout: c.stdout, Stderr: c.stderr,
			})
			if err != nil {
				return fmt.Errorf("parse %s: %w", args[0], err)
			}
			return nil
		},
	}
	from.flags(cmd)
	c.pluginDirFlag(cmd)
	return cmd
}
