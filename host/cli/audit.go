package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/audit"
)

func (c *cli) auditCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "What operators changed and enforcers did, and whether that record is whole",
		Long: `The audit log holds every change that was made or tried over the control socket and
every action event, each with the SHA-256 of the record before it. These verbs need
no running host, and read files that belong to the host's user.`,
	}
	group(cmd)
	cmd.AddCommand(c.auditVerifyCmd(), c.auditShowCmd())
	return cmd
}

// auditDir returns the directory that was named, or that of the configuration.
func (c *cli) auditDir(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	if c.app.AuditDir == nil {
		return "", notBuilt("find the audit log")
	}
	return c.app.AuditDir(c.sources())
}

// readAudit explains why a log cannot be read.
func readAudit(dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no audit log in %s; name its directory, or the configuration with --config", dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; run it with sudo or as the host's user", err)
	}
	return err
}

func (c *cli) auditVerifyCmd() *cobra.Command {
	var known []string
	cmd := &cobra.Command{
		Use:   "verify [DIR]",
		Short: "Find the first record that was edited, dropped, moved or forged",
		Long: `Reads the whole audit log and checks the chain of its records. The first fault is
named with its place, and the exit status is 1:

  edited     a record is not as it was written
  forged     it does not follow from the record before it
  dropped    records are missing before it
  moved      it stands in another place than it was written
  truncated  records are missing at the end
  rewritten  it is not the record of a head that is known

Whoever can write the files can also write all of them anew. A head, HASH@SEQ, that
was noted elsewhere shows that: the host sends its head to the sinks as the target of
actions "audit". The one that the host keeps beside the log is always compared.

The beginning of a record at the end, as a crash leaves it, is no fault. DIR is the
folder audit in the host's data directory.`,
		Example: `  sudo ironpost audit verify
  ironpost audit verify /mnt/backup/ironpost/audit
  ironpost actions list --where action=audit -o json | jq -r '.[0].target'   a head
  sudo ironpost audit verify --head 5f2c...31@4711`,
		Args: between(0, 1, ""),
		RunE: func(_ *cobra.Command, args []string) error {
			heads := make([]audit.Head, 0, len(known))
			for _, text := range known {
				h, err := audit.ParseHead(text)
				if err != nil {
					return invalid("--head: %w", err)
				}
				heads = append(heads, h)
			}
			dir, err := c.auditDir(args)
			if err != nil {
				return fmt.Errorf("audit verify: %w", err)
			}
			report, err := audit.Verify(dir, heads...)
			if err != nil {
				return fmt.Errorf("audit verify: %w", readAudit(dir, err))
			}
			if err := c.showAudit(report, heads); err != nil {
				return err
			}
			if !report.OK {
				return &exitError{exitFailed}
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&known, "head", nil, "a head that was noted elsewhere, HASH@SEQ; may be repeated")
	return cmd
}

// showAudit prints what a verification found.
func (c *cli) showAudit(r *audit.Report, heads []audit.Head) error {
	if c.json() {
		return c.value(r)
	}
	if p := r.Problem; p != nil {
		if err := c.line("%s: record %d: %s", p.Fault, p.Sequence, p.Detail); err != nil {
			return err
		}
		place := "behind what is there"
		if p.File != "" {
			place = fmt.Sprintf("%s/%s, line %d", r.Dir, p.File, p.Line)
		}
		return c.line("  in %s; %d records before it are in order", place, r.Records)
	}
	if err := c.line("the audit log in %s is whole: %d records in %d files, from %d to %d", r.Dir, r.Records, r.Files, r.First, r.Last.Sequence); err != nil {
		return err
	}
	if err := c.line("  head %s", r.Last); err != nil {
		return err
	}
	for _, note := range []struct {
		show bool
		text string
	}{
		{r.First > 1, fmt.Sprintf("records up to %d were removed for want of room, as the log says", r.First-1)},
		{r.Mended > 0, fmt.Sprintf("ends that a crash had torn, and that were mended: %d", r.Mended)},
		{r.Damaged > 0, fmt.Sprintf("damage that a host found when it started, see ironpost audit show --kind damaged: %d", r.Damaged)},
		{r.Torn > 0, fmt.Sprintf("%d bytes of a record stand at the end: a host is writing it, or was killed", r.Torn)},
		{r.Unknown > 0, fmt.Sprintf("heads of records that are no longer kept, and could not be compared: %d", r.Unknown)},
		{len(heads) == 0, "against whoever writes it all anew helps a head that was noted elsewhere: --head"},
	} {
		if !note.show {
			continue
		}
		if err := c.line("  %s", note.text); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) auditShowCmd() *cobra.Command {
	q := audit.Query{}
	var since string
	cmd := &cobra.Command{
		Use:   "show [DIR]",
		Short: "The records, the newest last",
		Long: `Shows the newest records, or with --from those from a number on. Kinds: change (of an
operator, done, denied or failed), action (an action event), start, stop, begin,
mended, damaged, gap, retention. With -o json the records are complete.`,
		Example: `  sudo ironpost audit show
  sudo ironpost audit show --user alice --since 7d
  sudo ironpost audit show --from 1 --limit 100
  sudo ironpost audit show --kind change -o json | jq -r '.[] | [.time, .user, .action] | @tsv'`,
		Args: between(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			if q.Limit < 1 {
				return usage(cmd, "--limit %d: it has to be 1 or more", q.Limit)
			}
			if since != "" {
				at, err := parseWhen(since, c.now())
				if err != nil {
					return fmt.Errorf("--since: %w", err)
				}
				q.Since = at
			}
			q.Last = !cmd.Flags().Changed("from")
			dir, err := c.auditDir(args)
			if err != nil {
				return fmt.Errorf("audit show: %w", err)
			}
			records, unreadable, err := audit.Read(dir, q)
			if err != nil {
				return fmt.Errorf("audit show: %w", readAudit(dir, err))
			}
			if unreadable > 0 {
				fmt.Fprintf(c.stderr, "ironpost: lines that are no records as they were written: %d; run: ironpost audit verify\n", unreadable)
			}
			return c.showRecords(records, q)
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&q.From, "from", 0, "number of the first record; without it the newest are shown")
	flags.IntVarP(&q.Limit, "limit", "n", 50, "how many records")
	flags.StringVar(&since, "since", "", "only records since a time, or so long ago: 2024-12-10T06:55:46Z, 24h, 7d")
	flags.StringSliceVar(&q.Users, "user", nil, "only changes of a user; may be repeated")
	flags.StringSliceVar(&q.Kinds, "kind", nil, "only records of a kind; may be repeated")
	return cmd
}

// shownRecord is a record with its hash.
type shownRecord struct {
	audit.Record
	Hash audit.Hash `json:"hash"`
}

func (c *cli) showRecords(records []audit.Record, q audit.Query) error {
	if c.json() {
		out := make([]shownRecord, 0, len(records))
		for _, r := range records {
			out = append(out, shownRecord{r, r.Hash})
		}
		return c.value(out)
	}
	t := newTable("SEQ", "TIME", "KIND", "WHO", "ACTION", "OUTCOME", "WHAT")
	for i := range records {
		t.row(recordRow(&records[i])...)
	}
	if err := c.printTable(t, "there are no such records"); err != nil {
		return err
	}
	if n := len(records); !q.Last && n == q.Limit {
		return c.line("the next page: --from %d", records[n-1].Sequence+1)
	}
	return nil
}

// maxWhat bounds what a table shows of a request or a reason, in characters.
const maxWhat = 100

func recordRow(r *audit.Record) []string {
	who, action, outcome, what := r.User, r.Action, r.Outcome, r.Note
	switch r.Kind {
	case audit.KindChange:
		if what += string(r.Request); r.Error != "" {
			what += ": " + r.Error
		}
	case audit.KindAction:
		var e struct{ Enforcer, Action, Target, Outcome, Mode, Reason string }
		if json.Unmarshal(r.Event, &e) == nil {
			who, action, outcome, what = e.Enforcer, e.Action, e.Outcome, strings.TrimSpace(e.Target+" "+e.Reason)
		}
	}
	return []string{
		fmt.Sprint(r.Sequence), r.Time.UTC().Format(time.RFC3339), r.Kind, dash(who), dash(action), dash(outcome), dash(cut(what, maxWhat)),
	}
}
