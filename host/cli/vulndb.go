package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
the list of known exploited vulnerabilities of CISA; scores of EPSS. "update" fetches
them, or a whole database that was built and signed elsewhere.`,
	}
	cmd.AddCommand(c.vulndbImportCmd(), c.vulndbUpdateCmd(), c.vulndbStatusCmd(), c.vulndbBundleCmd())
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
		Use:   "status",
		Short: "Say which ecosystems there are advisories of, and how old they are",
		Long: `Says of each ecosystem how many advisories there are, from which sources, how old
they are, and whether that makes it "checked" or "stale", with what mends it.`,
		Example: "  ironpost vulndb status -o json",
		Args:    between(0, 0, ""),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.advisories(cmd, nil) },
	}
	c.pluginDirFlag(cmd)
	return cmd
}

func (c *cli) vulndbUpdateCmd() *cobra.Command {
	var config UpdateConfig
	cmd := &cobra.Command{
		Use:   "update [URL|PATH]...",
		Short: "Fetch what changed of the advisories, or a signed bundle of all",
		Long: `Fetches advisories and takes them over. Without arguments it fetches what sbom.mirror
names. URL or PATH is one of:

  a signed bundle, a name that ends with .db: the whole database, built elsewhere with
  "ironpost vulndb bundle". Beside it lies its signature, NAME.minisig, by a key that
  sbom.keys names. One that is older than what there is is refused.

  a source, as "ironpost vulndb import" takes it: an archive, a list, a record.

  a mirror of OSV: a URL that ends with /, or a folder. Of each ecosystem that
  --ecosystem or sbom.ecosystems names, ECOSYSTEM/all.zip is fetched.

What did not change since the last time is not fetched again, and a transfer that broke
goes on where it was. The scanner itself has no network. Scans see the old state until
the new one is complete. What cannot be fetched is named, and the rest is updated all the
same.`,
		Example: `  ironpost vulndb update
  ironpost vulndb update https://osv-vulnerabilities.storage.googleapis.com/ --ecosystem npm,PyPI
  ironpost vulndb update https://mirror.example.org/advisories.db
  ironpost vulndb update /media/stick/advisories.db`,
		Args: between(0, -1, "URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.app.UpdateAdvisories == nil {
				return notBuilt("update advisories")
			}
			config.From, config.Sources, config.Stderr = args, c.sources(), c.stderr
			return c.tellAdvisories(cmd, true, func(out io.Writer, progress func(string)) error {
				config.Stdout, config.Progress = out, progress
				return c.app.UpdateAdvisories(cmd.Context(), config)
			})
		},
	}
	cmd.Flags().StringSliceVar(&config.Ecosystems, "ecosystem", nil, "fetch these from mirrors, as OSV writes them: npm, PyPI, crates.io, Debian")
	cmd.Flags().BoolVar(&config.AllowOlder, "allow-older", false, "take a bundle that is older than what there is")
	cmd.Flags().BoolVar(&config.AllowHTTP, "allow-http", false, "take URLs without encryption; bundles are signed all the same, sources are not")
	c.pluginDirFlag(cmd)
	return cmd
}

func (c *cli) vulndbBundleCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle FILE",
		Short: "Write all advisories into a file that other machines install",
		Long: `Writes the database of this machine to FILE, which must end with .db. It is to be
signed with minisign, 0.10 or newer: "minisign -S -m FILE" writes FILE.minisig. Machines
that name the public key in sbom.keys install both with "ironpost vulndb update".`,
		Example: `  ironpost vulndb bundle advisories.db && minisign -S -m advisories.db`,
		Args:    between(1, 1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.app.ExportAdvisories == nil {
				return notBuilt("make bundles of advisories")
			}
			file := args[0]
			if !strings.HasSuffix(file, ".db") {
				return invalid("%s: by the ending .db \"ironpost vulndb update\" knows a bundle", file)
			}
			if err := c.writeWhole(file, func(out io.Writer) error {
				return c.app.ExportAdvisories(cmd.Context(), c.sources(), out, c.stderr)
			}); err != nil {
				return fmt.Errorf("%s: %w", cmd.CommandPath(), err)
			}
			if c.json() {
				return nil
			}
			return c.line("Now sign it: minisign -S -m %s", file)
		},
	}
	c.pluginDirFlag(cmd)
	return cmd
}

// writeWhole writes a file, whole or not at all.
func (c *cli) writeWhole(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644) //nolint:gosec // public knowledge
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

// advisoriesReport is the part of a scanner's answer that is shown to people.
type advisoriesReport struct {
	Ecosystems []struct {
		Ecosystem, State, Reason, Mend string
		Records                        int
		Newest, Imported               time.Time
	}
	Sources []struct {
		Name                                      string
		Records, Added, Changed, Removed, Refused int
		Exploited, Likelihoods                    int
		Imported, Newest                          time.Time
		Problems                                  []struct{ File, Code, Reason string }
	}
	Records      int
	Built        time.Time
	Key, Comment string
	// Damage is why nothing can be read, Replaced why other sources are gone.
	Damage, Replaced string
}

func (c *cli) advisories(cmd *cobra.Command, paths []string) error {
	if c.app.Advisories == nil {
		return notBuilt("keep advisories")
	}
	return c.tellAdvisories(cmd, len(paths) > 0, func(out io.Writer, progress func(string)) error {
		return c.app.Advisories(cmd.Context(), AdvisoriesConfig{
			Sources: c.sources(), Import: paths, Stdout: out, Stderr: c.stderr, Progress: progress,
		})
	})
}

// tellAdvisories shows what a scanner says of its advisories, also when only a part of the work
// could be done.
func (c *cli) tellAdvisories(cmd *cobra.Command, imported bool, work func(out io.Writer, progress func(string)) error) error {
	var out bytes.Buffer
	line := c.progress()
	failed := work(&out, line.show)
	line.end()
	if failed != nil {
		failed = fmt.Errorf("%s: %w", cmd.CommandPath(), failed)
	}
	if out.Len() == 0 {
		return failed
	}
	return errors.Join(c.showAdvisories(out.Bytes(), imported), failed)
}

func (c *cli) showAdvisories(document []byte, imported bool) error {
	var r advisoriesReport
	if err := json.Unmarshal(document, &r); err != nil {
		return fmt.Errorf("read the scanner's report: %w", err)
	}
	var damage error
	if r.Damage != "" {
		damage = fmt.Errorf("nothing can be checked: %s; import all sources again, or run: ironpost vulndb update", view.Printable(r.Damage))
	}
	if c.json() {
		return errors.Join(c.document(view.Shown(bytes.TrimSpace(document))), damage)
	}
	if damage != nil {
		return damage
	}
	if r.Replaced != "" {
		if err := c.line("what was there is replaced, so import other sources again: %s", view.Printable(r.Replaced)); err != nil {
			return err
		}
	}
	for _, source := range r.Sources {
		if !imported {
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
		if e.Mend != "" {
			state += "; run: " + e.Mend
		}
		t.row(e.Ecosystem, strconv.Itoa(e.Records), day(e.Newest), day(e.Imported), state)
	}
	if err := c.printTable(t, "There are no advisories yet; run: ironpost vulndb update URL, or ironpost vulndb import PATH..."); err != nil {
		return err
	}
	if !imported {
		return c.showSources(&r)
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

// showSources prints where the advisories are from, and who signed them.
func (c *cli) showSources(r *advisoriesReport) error {
	t := newTable("SOURCE", "ADVISORIES", "EXPLOITED", "EPSS", "LEFT OUT", "NEWEST", "CURRENT AS OF")
	for _, s := range r.Sources {
		t.row(s.Name, strconv.Itoa(s.Records), strconv.Itoa(s.Exploited), strconv.Itoa(s.Likelihoods), strconv.Itoa(s.Refused), day(s.Newest), day(s.Imported))
	}
	if len(r.Sources) > 0 {
		if err := c.printTable(t, ""); err != nil {
			return err
		}
	}
	if r.Key == "" {
		return nil
	}
	return c.line("a bundle of %s, signed by %s: %s", day(r.Built), r.Key, view.Printable(r.Comment))
}
