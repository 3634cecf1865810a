package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/view"
)

func (c *cli) vulndbCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vulndb",
		Short: "The advisories that packages are held against",
		Long: `Advisories are kept on this machine, in a database of the scanner's. They come from
files: records of OSV (JSON, YAML), alone, in folders or archives, and of RustSec;
the list of known exploited vulnerabilities of CISA; scores of EPSS.`,
	}
	cmd.AddCommand(c.vulndbImportCmd(), c.vulndbStatusCmd())
	group(cmd)
	return cmd
}

func (c *cli) vulndbImportCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import PATH...",
		Short: "Take over advisories from files, folders and archives",
		Long: `Takes over the advisories of files, folders and archives (.zip, .tar, .tar.gz). An
advisory that came from the same PATH before and is not there any more is removed.
It is all or nothing: scans see the old state until the new one is complete. A record
that makes no sense is named, and left out.`,
		Example: `  ironpost vulndb import npm.zip PyPI.zip
  ironpost vulndb import advisory-db/ known_exploited_vulnerabilities.json`,
		Args: between(1, -1, "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := existing(args); err != nil {
				return err
			}
			return c.advisories(cmd, args)
		},
	}
	c.pluginDirFlag(cmd)
	return cmd
}

func (c *cli) vulndbStatusCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say which ecosystems there are advisories of, and how old they are",
		Example: "  ironpost vulndb status -o json",
		Args:    between(0, 0, ""),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.advisories(cmd, nil) },
	}
	c.pluginDirFlag(cmd)
	return cmd
}

// advisoriesReport is the part of a scanner's answer that is shown to people.
type advisoriesReport struct {
	Ecosystems []struct {
		Ecosystem, State, Reason string
		Records                  int
		Newest, Imported         time.Time
	}
	Sources []struct {
		Name                                      string
		Records, Added, Changed, Removed, Refused int
		Exploited, Likelihoods                    int
		Problems                                  []struct{ File, Code, Reason string }
	}
	Records int
}

func (c *cli) advisories(cmd *cobra.Command, paths []string) error {
	if c.app.Advisories == nil {
		return notBuilt("keep advisories")
	}
	var out bytes.Buffer
	line := c.progress()
	err := c.app.Advisories(cmd.Context(), AdvisoriesConfig{
		Sources: c.sources(), Import: paths, Stdout: &out, Stderr: c.stderr, Progress: line.show,
	})
	line.end()
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.CommandPath(), err)
	}
	if c.json() {
		return c.document(view.Shown(bytes.TrimSpace(out.Bytes())))
	}
	var r advisoriesReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return fmt.Errorf("read the scanner's report: %w", err)
	}
	for _, source := range r.Sources {
		if len(paths) == 0 {
			break // the problems were told at the import
		}
		if err := c.leftOut(source.Refused, len(source.Problems), func(i int) string {
			p := source.Problems[i]
			return fmt.Sprintf("left out: %s: %s: %s (%s)", source.Name, p.File, p.Reason, p.Code)
		}); err != nil {
			return err
		}
	}
	t := newTable("ECOSYSTEM", "ADVISORIES", "NEWEST", "IMPORTED", "STATE")
	for _, e := range r.Ecosystems {
		state := e.State
		if e.Reason != "" {
			state += ": " + e.Reason
		}
		t.row(e.Ecosystem, strconv.Itoa(e.Records), day(e.Newest), day(e.Imported), state)
	}
	if err := c.printTable(t, "There are no advisories yet; run: ironpost vulndb import PATH..."); err != nil {
		return err
	}
	for _, source := range r.Sources {
		if err := c.line("%s: %d advisories, %d known as exploited, %d scores of EPSS; %d new, %d changed, %d gone, %d left out", source.Name,
			source.Records, source.Exploited, source.Likelihoods, source.Added, source.Changed, source.Removed, source.Refused); err != nil {
			return err
		}
	}
	return nil
}

// leftOut prints the first of what was left out, and how many more there are.
func (c *cli) leftOut(all, known int, text func(int) string) error {
	for i := range min(known, maxProblems) {
		if err := c.line("%s", text(i)); err != nil {
			return err
		}
	}
	if more := all - min(known, maxProblems); more > 0 {
		return c.line("... and %d more; -o json tells of them", more)
	}
	return nil
}

// day writes the date of a time, "" when it is not known.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}
