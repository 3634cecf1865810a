package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// EvidenceConfig is what guard evidence was told.
type EvidenceConfig struct {
	Sources
	// Dir is the folder of incidents; "" is that of the configuration.
	Dir string
	// ID names an incident, which is verified; "" is all, the newest Limit of them,
	// or all when that is 0.
	ID    string
	Limit int
	// Recorded is the SHA-256 of its manifest as it is known from elsewhere.
	Recorded string
}

var validDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (c *cli) guardEvidenceCmd() *cobra.Command {
	var ask EvidenceConfig
	cmd := &cobra.Command{
		Use:   "evidence [ID]",
		Short: "What was kept of containers at the time of an alert, and whether it is unchanged",
		Long: `Without ID lists the incidents of which evidence is kept, the newest first. With the
ID of an incident, which is that of the action "evidence", or its beginning, shows its
folder and files and holds them to their hashes:

  verified    the files are as the manifest SHA256SUMS says, and the manifest is the
              one that the host recorded when the evidence was kept
  unrecorded  the files are as the manifest says; what it was then is not known here
  changed     something is not as it was; exit status 1

Works without a host too, as a user who may read the folder, and on a copy with --dir.
What was recorded is in the audit log; --manifest says it where that is not at hand.`,
		Example: `  ironpost guard evidence
  ironpost guard evidence 5d0c7f1e
  ironpost guard evidence 5d0c7f1e -o json | jq -r .path
  ironpost guard evidence 5d0c7f1e --dir /mnt/case-7 --manifest 9f86d081...0f00a08`,
		Args: between(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			ask.Sources = c.sources()
			if len(args) > 0 {
				ask.ID = args[0]
			}
			switch {
			case ask.Recorded != "" && !validDigest.MatchString(ask.Recorded):
				return usage(cmd, "--manifest: want the 64 hexadecimal digits of a SHA-256")
			case ask.Recorded != "" && ask.ID == "":
				return usage(cmd, "--manifest is of one incident: name it")
			case ask.Limit < 0:
				return usage(cmd, "--limit: want 0 or more")
			}
			found, err := c.evidence(cmd.Context(), ask)
			if err != nil {
				return fmt.Errorf("guard evidence: %w", err)
			}
			if ask.ID == "" {
				return c.listEvidence(found)
			}
			return c.showEvidence(found[0])
		},
	}
	cmd.Flags().StringVar(&ask.Dir, "dir", "", "the folder of evidence, of another machine or a copy; no host is asked")
	cmd.Flags().StringVar(&ask.Recorded, "manifest", "", "the SHA-256 of the manifest as it was noted elsewhere")
	cmd.Flags().IntVar(&ask.Limit, "limit", 100, "how many at most; 0 is no limit")
	return cmd
}

// evidence asks the host, or reads the folder when none runs or it is named. With an
// ID there is one at least.
func (c *cli) evidence(ctx context.Context, ask EvidenceConfig) (found []*ironpostv1.Incident, err error) {
	err = control.ErrNotRunning
	if ask.Dir == "" && ask.Recorded == "" {
		err = c.host(ctx, changeTimeout, func(ctx context.Context, h *control.Client) error {
			resp, err := h.ListEvidence(ctx, &ironpostv1.ListEvidenceRequest{Id: ask.ID, Limit: uint32(ask.Limit)})
			found = resp.GetIncidents()
			return err
		})
	}
	if errors.Is(err, control.ErrNotRunning) {
		if c.app.Evidence == nil {
			return nil, notBuilt("read evidence")
		}
		found, err = c.app.Evidence(ctx, ask)
	}
	if err == nil && ask.ID != "" && len(found) == 0 {
		err = fmt.Errorf("%w: %q", control.ErrNotFound, ask.ID)
	}
	return found, err
}

func (c *cli) listEvidence(found []*ironpostv1.Incident) error {
	if c.json() {
		return list(c, found)
	}
	t := newTable("ID", "KEPT", "CONTAINER", "POLICY", "FILES", "BYTES", "ALERT", "NOTE")
	for _, i := range found {
		note := ""
		switch {
		case len(i.GetFaults()) > 0:
			note = i.GetFaults()[0]
		case len(i.GetMissing()) > 0:
			note = fmt.Sprintf("%d files could not be had", len(i.GetMissing()))
		}
		t.row(fmt.Sprintf("%.12s", i.GetId()), stamp(i.GetEnded()), containerOf(i), dash(i.GetPolicy()), count(uint64(len(i.GetFiles()))), size(i.GetBytes()),
			dash(fmt.Sprintf("%.12s", i.GetAlertId())), note)
	}
	return c.printTable(t, "no evidence is kept")
}

func containerOf(i *ironpostv1.Incident) string {
	if i.GetContainerName() == "" {
		return dash(fmt.Sprintf("%.12s", i.GetContainer()))
	}
	return fmt.Sprintf("%s (%.12s)", i.GetContainerName(), i.GetContainer())
}

// showEvidence prints one incident, and fails when it is not as it was.
func (c *cli) showEvidence(i *ironpostv1.Incident) error {
	err := c.evidenceText(i)
	if err == nil && i.GetState() == "changed" {
		return &exitError{exitFailed}
	}
	return err
}

func (c *cli) evidenceText(i *ironpostv1.Incident) error {
	if c.json() {
		return c.message(i)
	}
	var b bytes.Buffer
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s%s\n", name, view.Printable(fmt.Sprintf(format, args...)))
	}
	line("incident", "%s: %s", i.GetId(), i.GetState())
	for _, fault := range i.GetFaults() {
		line("", "%s", fault)
	}
	line("path", "%s", i.GetPath())
	line("container", "%s", containerOf(i))
	line("alert", "%s, trace %s", dash(i.GetAlertId()), dash(i.GetTraceId()))
	line("because", "%s", dash(i.GetReason()))
	line("kept", "%s to %s", stamp(i.GetBegun()), stamp(i.GetEnded()))
	line("manifest", "%s", dash(i.GetManifest()))
	if i.GetRecorded() != i.GetManifest() {
		line("recorded", "%s", dash(i.GetRecorded()))
	}
	t := newTable("FILE", "BYTES", "STATE", "SHA-256")
	for _, f := range i.GetFiles() {
		state := f.GetState()
		if f.GetCut() {
			state += ", cut"
		}
		t.row(f.GetName(), size(f.GetBytes()), state, dash(f.GetSha256()))
	}
	for _, name := range slices.Sorted(maps.Keys(i.GetMissing())) {
		t.row(name, "-", "not had", i.GetMissing()[name])
	}
	b.Write(t.bytes())
	return c.write(b.Bytes())
}
