package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) pluginDescribeCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "describe FILE",
		Short: "What a file says of itself, without installing it",
		Long: `Runs the file in the strictest sandbox (no network, no files, no privileges) and
shows its name, version, kinds, summary, settings and the permissions that it asks
for. Needs no host and changes nothing. Exits with status 1 when the file is not a
plugin that this host could run.`,
		Example: `  ironpost plugin describe ./parser-acme
  ironpost plugin describe ./parser-acme -o json | jq .description.permissions`,
		Args: between(1, 1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.app.DescribePlugin == nil {
				return notBuilt("describe a plugin")
			}
			d, err := c.app.DescribePlugin(cmd.Context(), PluginFileConfig{Sources: c.sources(), File: args[0], Stderr: c.stderr})
			if err != nil {
				return fmt.Errorf("plugin describe %s: %w", args[0], err)
			}
			if c.json() {
				err = c.message(d)
			} else {
				err = c.write(descriptionText(d))
			}
			if err == nil && d.GetCode() != "" {
				err = &exitError{exitFailed}
			}
			return err
		},
	}
}

func descriptionText(d *ironpostv1.PluginDescription) []byte {
	var b bytes.Buffer
	line := lines(&b)
	if s := d.GetDescription(); s != nil {
		line("name", s.GetName())
		line("summary", s.GetSummary())
		line("kinds", strings.Join(s.GetKinds(), ", "))
		line("version", fmt.Sprintf("%s (api %d)", dash(s.GetVersion()), s.GetApi()))
		line("format", s.GetFormat())
		line("section", s.GetSection())
	}
	line("path", d.GetPath())
	line("sha256", d.GetSha256())
	line("signed by", d.GetSignature())
	if d.GetDescription() != nil {
		permissions(line, "asks for", d.GetDescription().GetPermissions())
	}
	refusal(line, d)
	settings(&b, d.GetDescription())
	return b.Bytes()
}

// refused is a message that may hold a refusal.
type refused interface {
	GetCode() string
	GetRule() string
	GetObserved() string
	GetWanted() string
	GetMend() string
}

func refusal(line func(name, value string), r refused) {
	if r.GetCode() == "" {
		return
	}
	line("refused", r.GetCode()+": "+r.GetRule())
	line("observed", r.GetObserved())
	line("wanted", r.GetWanted())
	line("mend", r.GetMend())
}

func (c *cli) pluginVerifyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [FILE|NAME]...",
		Short: "Check owner, mode, path, SHA-256 and signature of plugins again",
		Long: `Holds every candidate in the plugin directories, or those that are named, to every
rule again: owner, mode and path, the SHA-256 that was pinned when it was built or
enabled, the signature where plugins.trusted_keys is set, and the name. Needs no
host; where one runs, its directories, pins and keys count. Changes nothing.

Exits with status 1 when one is changed or refused, and shows the rule, what was
observed, what is wanted and the command that mends it. A sound plugin that nobody
enabled yet is "discovered".`,
		Example: `  ironpost plugin verify
  ironpost plugin verify parser-acme
  ironpost plugin verify -o json | jq '.[] | select(.code != "")'`,
		ValidArgsFunction: c.completePlugins,
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.app.VerifyPlugins == nil {
				return notBuilt("verify plugins")
			}
			trust, err := c.trust(cmd.Context())
			if err != nil {
				return err
			}
			verdicts, dirErr := c.app.VerifyPlugins(cmd.Context(), VerifyConfig{Sources: c.sources(), Trust: trust, Names: args, Stderr: c.stderr})
			if dirErr != nil && verdicts == nil {
				return fmt.Errorf("plugin verify: %w", dirErr)
			}
			if err := c.showVerdicts(verdicts); err != nil {
				return err
			}
			if dirErr != nil {
				return fmt.Errorf("plugin verify: %w", dirErr)
			}
			for _, v := range verdicts {
				if v.GetCode() != "" {
					return &exitError{exitFailed}
				}
			}
			return nil
		},
	}
	c.pluginDirFlag(cmd)
	return cmd
}

func (c *cli) showVerdicts(verdicts []*ironpostv1.PluginVerdict) error {
	if c.json() {
		return list(c, verdicts)
	}
	t := newTable("NAME", "STATE", "TRUST", "SHA256", "CODE", "PATH")
	for _, v := range verdicts {
		t.row(cut(dash(view.Printable(v.GetName())), 22), v.GetState(), dash(v.GetTrust()), dash(cut(v.GetSha256(), 13)), dash(v.GetCode()), v.GetPath())
	}
	if err := c.printTable(t, "no plugins were found; see: ironpost doctor"); err != nil {
		return err
	}
	for _, v := range verdicts {
		if v.GetCode() == "" {
			continue
		}
		var b bytes.Buffer
		line := lines(&b)
		b.WriteByte('\n')
		line("name", v.GetName())
		line("path", v.GetPath())
		refusal(line, v)
		if err := c.write(b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// trust returns what the running host holds plugins to, nil when none runs.
func (c *cli) trust(ctx context.Context) (*ironpostv1.PluginTrustResponse, error) {
	var trust *ironpostv1.PluginTrustResponse
	err := c.host(ctx, readTimeout, func(ctx context.Context, h *control.Client) (err error) {
		trust, err = h.PluginTrust(ctx, &ironpostv1.PluginTrustRequest{})
		return err
	})
	if errors.Is(err, control.ErrNotRunning) {
		return nil, nil
	}
	return trust, err
}
