package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/view"
)

// documents are the values of scan --sbom.
var documents = []string{"cyclonedx", "cyclonedx-1.5", "cyclonedx-1.6", "cyclonedx-1.7", "spdx"}

// statements are the values of scan --vex, with what a scanner calls the document.
var statements = map[string]string{"openvex": "openvex", "cyclonedx": "cyclonedx-vex"}

// severities are those of findings, the worst first.
var severities = []string{"critical", "high", "medium", "low"}

func (c *cli) scanCmd() *cobra.Command {
	var config ScanConfig
	var failOn, vex string
	var packages bool
	cmd := &cobra.Command{
		Use:   "scan TARGET",
		Short: "List the packages of a tree, and what is known to be wrong with them",
		Long: `Reads what is installed, locked or built into the files of a target: packages of
the distribution, lockfiles and manifests of some twenty languages, archives, and
programs of Go and Rust. Each package is held against the advisories that
"ironpost vulndb import" brought in. Needs no running host and no network.

TARGET is a folder, a root file system, an image, an SBOM (CycloneDX or SPDX), or the name
or id of a container or an image of the local Docker. An image that is a file is what "docker
save" writes, or an OCI layout, as an archive (.tar, .tar.gz, .tar.zst) or as a folder; no
engine is needed for it, and nothing is unpacked.

A path that exists comes first, then a container, then an image; container:NAME and
image:NAME say which is meant. A container is its image with what it changed itself, running
or not; nothing is started in it. Its volumes and mounts are not looked at, and are named as
such. An image is read once, and remembered by its id.

An ecosystem of which there are no advisories is told as "unchecked": that nothing
was found in it says nothing. A file that cannot be read, or is too large or hostile,
is named with its reason, and all others are read.

With --sbom the document is written instead: CycloneDX (1.6) or SPDX (2.3) in JSON; the time
in it is that of SOURCE_DATE_EPOCH where this is set, so that equal trees give equal files. With
--vex the document says what is known of the findings: OpenVEX, or CycloneDX, where those that a
rule or a VEX document suppressed are not affected. With
--against only the differences from another target are told: an image of last week,
an SBOM that was kept.`,
		Example: `  ironpost scan .
  ironpost scan /usr --fail-on high
  mount --bind / /mnt && ironpost scan /mnt     # the whole machine
  ironpost scan /srv/app --sbom cyclonedx > app.cdx.json
  ironpost scan /srv/app --against app.cdx.json
  docker save acme/app:1 > app.tar && ironpost scan app.tar
  ironpost scan web-1                           # a container of the local Docker
  ironpost scan image:acme/app:2 --against image:acme/app:1
  ironpost scan layout/ --platform linux/arm64  # of an image for several
  ironpost scan app.cdx.json -o json | jq '.findings[].id'`,
		Args: between(1, 1, "TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.app.Scan == nil {
				return notBuilt("scan")
			}
			if config.Document != "" && !slices.Contains(documents, config.Document) {
				return invalid("--sbom %s: there is no such form; there are %s", config.Document, strings.Join(documents, ", "))
			}
			if vex != "" {
				if config.Document != "" {
					return invalid("--vex and --sbom are two documents; run scan twice")
				}
				if config.Document = statements[vex]; config.Document == "" {
					return invalid("--vex %s: there is no such form; there are openvex, cyclonedx", vex)
				}
			}
			if failOn != "" && !slices.Contains(severities, failOn) {
				return invalid("--fail-on %s: there is no such severity; there are %s", failOn, strings.Join(severities, ", "))
			}
			if failOn != "" && config.Document != "" {
				return invalid("--fail-on looks at the report, and --sbom and --vex write another document; run scan twice")
			}
			if config.Against != "" && config.Document != "" {
				return invalid("--against tells differences, and --sbom and --vex write the whole of TARGET; run scan twice")
			}
			if config.Platform != "" && !platforms.MatchString(config.Platform) {
				return invalid("--platform %s: write OS/ARCH or OS/ARCH/VARIANT, as linux/arm64", config.Platform)
			}
			config.Target = args[0]
			if err := config.place(); err != nil {
				return err
			}
			config.Sources, config.Stderr = c.sources(), c.stderr
			config.Epoch = os.Getenv("SOURCE_DATE_EPOCH")
			line := c.progress()
			config.Progress = line.show
			if config.Document != "" {
				config.Stdout = c.stdout
				err := c.app.Scan(cmd.Context(), config)
				line.end()
				return scanned(args[0], err)
			}
			if c.json() && failOn == "" {
				return scanned(args[0], c.scanJSON(cmd.Context(), config, line))
			}
			var out bytes.Buffer
			config.Stdout = &out
			err := c.app.Scan(cmd.Context(), config)
			line.end()
			if err != nil {
				return scanned(args[0], err)
			}
			return c.showScan(out.Bytes(), packages, failOn)
		},
	}
	cmd.Flags().StringVar(&config.Document, "sbom", "", "write an SBOM instead: "+strings.Join(documents, ", "))
	cmd.Flags().StringVar(&vex, "vex", "", "write what is known of the findings instead: openvex, or cyclonedx, with the packages")
	cmd.Flags().StringVar(&config.Against, "against", "", "tell only how TARGET differs from this one")
	cmd.Flags().StringVar(&failOn, "fail-on", "", "exit with 1 when something is found of this severity or above: "+strings.Join(severities, ", "))
	cmd.Flags().StringVar(&config.Platform, "platform", "", "of an image for several platforms the one to read, as linux/arm64; without, this machine's")
	cmd.Flags().BoolVar(&packages, "packages", false, "list every package, not only how many there are")
	c.pluginDirFlag(cmd)
	return cmd
}

// garbage is how much of it may be there for each hundred bytes in use (GOGC), while
// a scanner is at work: the host has nothing to do meanwhile.
const garbage = 25

// scanJSON writes the scanner's report as it comes: that of a large tree is large.
func (c *cli) scanJSON(ctx context.Context, config ScanConfig, line *progressLine) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	report := view.NewIndenter(c.stdout)
	config.Stdout = report
	err := c.app.Scan(ctx, config)
	line.end()
	if err != nil {
		return err
	}
	if err := report.Close(); err != nil {
		return fmt.Errorf("write the scanner's report: %w", err)
	}
	return nil
}

// What --platform takes, and what names and ids of containers and images are like, which
// the scanner judges more closely.
var (
	platforms   = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?$`)
	engineNames = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.:/@+-]*$`)
)

// place turns targets that are paths into absolute ones, which the scanner may
// read. What is no path and looks like a name is left to the scanner, who asks Docker.
func (s *ScanConfig) place() error {
	for _, target := range []*string{&s.Target, &s.Against} {
		if *target == "" {
			continue
		}
		if _, err := os.Stat(*target); err != nil {
			if errors.Is(err, fs.ErrNotExist) && engineNames.MatchString(*target) {
				continue
			}
			return invalid("%s: %w; a target is a folder, an archive of an image, a file that is an SBOM, or the name of a container or an image", *target, errors.Unwrap(err))
		}
		absolute, err := filepath.Abs(*target)
		if err != nil {
			return err
		}
		if absolute == "/" {
			return invalid("scan /: no plugin is granted the root of this machine, with the files of its kernel and of other plugins; run: mount --bind / /mnt && ironpost scan /mnt")
		}
		*target = absolute
		s.Paths = append(s.Paths, absolute)
	}
	return nil
}

func scanned(target string, err error) error {
	if err != nil {
		return fmt.Errorf("scan %s: %w", target, err)
	}
	return nil
}

// scanReport is the part of a scanner's report that is shown to people.
type scanReport struct {
	Kind, Name, ID, Image string
	Notes                 []string

	Packages []struct {
		Name, Version, Ecosystem, State string
		Locations                       []struct{ Path string }
	}
	Findings   []scanFinding
	Ecosystems []struct {
		Ecosystem, State, Reason string
		Packages                 int
	}
	Unowned     []struct{ Path, Kind string }
	UnownedMore int `json:"unowned_more"`
	Problems    []struct{ Path, Code, Reason string }
	Stats       struct{ Folders, Files int64 }
	Compared    bool
	Changes     struct {
		Added, Removed []struct{ Ecosystem, Name, Version string }
		Changed        []struct {
			Ecosystem, Name string
			From, To        []string
		}
		Relicensed []struct {
			Ecosystem, Name, Version string
			From, To                 []string
		}
	}
}

type scanFinding struct {
	ID, Name, Version, Summary string
	Fixed                      []string
	Severity                   struct {
		Level string
		Score float64
	}
	Exploited   *struct{}
	Malicious   bool
	Notice      string
	SymbolState string `json:"symbol_state"`
	Suppressed  *struct{ By, Reason string }
}

// rank says how bad it is in a few words.
func (f *scanFinding) rank() string {
	out := f.Severity.Level
	if f.Severity.Score > 0 {
		out += " " + strconv.FormatFloat(f.Severity.Score, 'f', 1, 64)
	}
	if f.Exploited != nil {
		out += ", exploited"
	}
	if f.Malicious {
		out += ", malicious"
	}
	if f.Notice != "" {
		out = f.Notice
	}
	if f.Suppressed != nil {
		out = "ignored by " + f.Suppressed.By + ": " + f.Suppressed.Reason
	}
	return out
}

// maxProblems are shown to people; -o json has them all.
const maxProblems = 20

func (c *cli) showScan(document []byte, packages bool, failOn string) error {
	var r scanReport
	if err := json.Unmarshal(document, &r); err != nil {
		return fmt.Errorf("read the scanner's report: %w", err)
	}
	bad := 0
	if limit := slices.Index(severities, failOn); limit >= 0 {
		for _, f := range r.Findings {
			if at := slices.Index(severities, f.Severity.Level); at >= 0 && at <= limit && f.Suppressed == nil {
				bad++
			}
		}
	}
	var err error
	if c.json() {
		err = c.document(view.Shown(bytes.TrimSpace(document)))
	} else {
		err = c.scanText(&r, packages)
	}
	if err == nil && bad > 0 {
		err = fmt.Errorf("%d findings are of severity %s or above", bad, failOn)
	}
	return err
}

func (c *cli) scanText(r *scanReport, packages bool) error {
	if r.Compared {
		t := newTable("CHANGE", "PACKAGE", "BEFORE", "AFTER", "ECOSYSTEM")
		for _, p := range r.Changes.Removed {
			t.row("removed", p.Name, p.Version, "", p.Ecosystem)
		}
		for _, p := range r.Changes.Changed {
			t.row("changed", p.Name, strings.Join(p.From, ", "), strings.Join(p.To, ", "), p.Ecosystem)
		}
		for _, p := range r.Changes.Added {
			t.row("added", p.Name, "", p.Version, p.Ecosystem)
		}
		for _, p := range r.Changes.Relicensed {
			t.row("licence", p.Name+" "+p.Version, strings.Join(p.From, ", "), strings.Join(p.To, ", "), p.Ecosystem)
		}
		if err := c.printTable(t, "No package differs."); err != nil {
			return err
		}
	}
	if packages {
		t := newTable("PACKAGE", "VERSION", "ECOSYSTEM", "STATE", "FOUND IN")
		for _, p := range r.Packages {
			place := ""
			if len(p.Locations) > 0 {
				place = p.Locations[0].Path
			}
			if more := len(p.Locations) - 1; more > 0 {
				place += fmt.Sprintf(" and %d more", more)
			}
			t.row(p.Name, p.Version, p.Ecosystem, p.State, place)
		}
		if err := c.printTable(t, "No package was found."); err != nil {
			return err
		}
	}
	if len(r.Findings) > 0 {
		columns := []string{"ID", "SEVERITY", "PACKAGE", "VERSION", "FIXED IN", "WHAT"}
		symbols := slices.ContainsFunc(r.Findings, func(f scanFinding) bool { return f.SymbolState != "" })
		if symbols {
			columns = slices.Insert(columns, 5, "SYMBOLS")
		}
		t := newTable(columns...)
		for i := range r.Findings {
			f := &r.Findings[i]
			cells := []string{f.ID, f.rank(), f.Name, f.Version, few(f.Fixed), brief(f.Summary)}
			if symbols {
				cells = slices.Insert(cells, 5, strings.ReplaceAll(f.SymbolState, "_", " "))
			}
			t.row(cells...)
		}
		if err := c.printTable(t, ""); err != nil {
			return err
		}
	}
	t := newTable("ECOSYSTEM", "PACKAGES", "ADVISORIES")
	for _, e := range r.Ecosystems {
		state := e.State
		if e.Reason != "" {
			state += ": " + e.Reason
		}
		t.row(cmp.Or(e.Ecosystem, "(none of OSV's)"), strconv.Itoa(e.Packages), state)
	}
	if err := c.printTable(t, "No package was found."); err != nil {
		return err
	}
	if len(r.Unowned) > 0 {
		t := newTable("PROGRAM OF NO PACKAGE", "KIND")
		for _, u := range r.Unowned {
			t.row(u.Path, u.Kind)
		}
		if err := c.printTable(t, ""); err != nil {
			return err
		}
		if r.UnownedMore > 0 {
			if err := c.line("... and %d more that no package has", r.UnownedMore); err != nil {
				return err
			}
		}
	}
	for i, p := range r.Problems {
		if i == maxProblems {
			if err := c.line("... and %d more that could not be read; -o json has them all", len(r.Problems)-i); err != nil {
				return err
			}
			break
		}
		if err := c.line("not read: %s: %s (%s)", p.Path, p.Reason, p.Code); err != nil {
			return err
		}
	}
	for _, note := range r.Notes {
		if err := c.line("note: %s", note); err != nil {
			return err
		}
	}
	return c.line("%s%d packages, %d findings in %d files of %d folders", r.subject(), len(r.Packages), len(r.Findings), r.Stats.Files, r.Stats.Folders)
}

// subject names a container or an image of Docker's, "" for other targets.
func (r *scanReport) subject() string {
	const digits = 12
	id := strings.TrimPrefix(r.ID, "sha256:")
	switch {
	case len(id) < digits:
		return ""
	case r.Image != "":
		return fmt.Sprintf("%s %s (%s, of the image %s): ", r.Kind, r.Name, id[:digits], r.Image)
	}
	return fmt.Sprintf("%s %s (%s): ", r.Kind, r.Name, id[:digits])
}

// few names the first of a list.
func few(list []string) string {
	const most = 2
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return strings.Join(list[:most], ", ") + ", ..."
}

// brief cuts a text that would break the table.
func brief(text string) string {
	const most = 72
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return strings.TrimSpace(string(runes[:most])) + "..."
}

// progress is a line that is written over, where somebody watches.
func (c *cli) progress() *progressLine {
	f, ok := c.stderr.(*os.File)
	if !ok || !terminal(f) {
		return &progressLine{}
	}
	return &progressLine{out: f}
}

type progressLine struct {
	out   *os.File // nil: nobody watches
	shown bool
}

func (p *progressLine) show(text string) {
	if p.out == nil {
		return
	}
	p.shown = true
	fmt.Fprintf(p.out, "\r\x1b[K%s", view.Printable(text))
}

func (p *progressLine) end() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
