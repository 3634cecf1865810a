package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) configCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show, check and reload the configuration",
		Long: `One file, ironpost.toml. Command line before environment before file before
defaults; the environment's name of a key is IRONPOST_<SECTION>_<KEY>.`,
	}
	group(cmd)
	cmd.AddCommand(c.configShowCmd(), c.configValidateCmd(), c.configReloadCmd())
	return cmd
}

func (c *cli) configShowCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Every value in force, and where it comes from",
		Long: `Shows every value that the running host has, and its origin. With --config, or when
no host runs, shows what a host started here would have. Secrets are never shown.`,
		Example: `  ironpost config show
  ironpost config show --config ironpost.toml -o json | jq '.[] | select(.origin != "default")'`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			values, err := c.configValues(cmd.Context())
			if err != nil {
				return err
			}
			if c.json() {
				return list(c, values)
			}
			t := newTable("KEY", "VALUE", "ORIGIN")
			for _, v := range values {
				t.row(v.GetKey(), dash(v.GetValue()), v.GetOrigin())
			}
			return c.printTable(t, "there is no value")
		},
	}
	c.pluginDirFlag(cmd)
	return cmd
}

func (c *cli) configValues(ctx context.Context) ([]*ironpostv1.ConfigValue, error) {
	offline := func() ([]*ironpostv1.ConfigValue, error) {
		if c.app.ShowConfig == nil {
			return nil, notBuilt("show the configuration without a host")
		}
		if err := c.existingConfig(); err != nil {
			return nil, err
		}
		return c.app.ShowConfig(ctx, c.sources())
	}
	if c.configFile != "" {
		return offline()
	}
	var values []*ironpostv1.ConfigValue
	err := c.host(ctx, readTimeout, func(ctx context.Context, h *control.Client) error {
		resp, err := h.ShowConfig(ctx, &ironpostv1.ShowConfigRequest{})
		values = resp.GetValues()
		return err
	})
	if errors.Is(err, control.ErrNotRunning) && c.app.ShowConfig != nil {
		fmt.Fprintln(c.stderr, "no host is running; this is what one started here would have")
		return offline()
	}
	return values, err
}

func (c *cli) existingConfig() error {
	if c.configFile == "" {
		return nil
	}
	return existing([]string{c.configFile})
}

func (c *cli) configValidateCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check a configuration file without a host",
		Long: `Checks the file (FILE, else --config, else the default one) and the environment
against what the host and every plugin accept, and names each problem with file,
line, key and what is allowed. A section that nobody owns is a problem here; a
host only warns of it. Exits with status 2 when there is a problem.`,
		Example: `  ironpost config validate ironpost.toml
  ironpost config validate --config /etc/ironpost/ironpost.toml -o json`,
		Args: between(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				c.configFile = args[0]
			}
			if c.app.ValidateConfig == nil {
				return notBuilt("check a configuration")
			}
			if err := c.existingConfig(); err != nil {
				return err
			}
			report, err := c.app.ValidateConfig(cmd.Context(), c.sources())
			if err != nil {
				return fmt.Errorf("check the configuration: %w", err)
			}
			return c.showReport(report)
		},
	}
	c.pluginDirFlag(cmd)
	return cmd
}

func (c *cli) showReport(r ConfigReport) error {
	if r.Problems == nil {
		r.Problems = []ConfigProblem{}
	}
	wrong := 0
	for _, p := range r.Problems {
		if !p.Warning {
			wrong++
		}
		if c.json() {
			continue
		}
		if err := c.write([]byte(problemText(p) + "\n")); err != nil {
			return err
		}
	}
	if c.json() {
		if err := c.value(struct {
			Valid bool `json:"valid"`
			ConfigReport
		}{wrong == 0, r}); err != nil {
			return err
		}
	} else if wrong == 0 {
		file := r.File
		if file == "" {
			file = "no file: the defaults and the environment"
		}
		if err := c.line("%s: valid", file); err != nil {
			return err
		}
	}
	if wrong > 0 {
		return &exitError{exitUsage}
	}
	return nil
}

func problemText(p ConfigProblem) string {
	var b strings.Builder
	part := func(before, text string) {
		if text != "" {
			b.WriteString(before)
			b.WriteString(view.Printable(text))
		}
	}
	part("", dash(p.Origin))
	if p.Warning {
		part(": ", "warning")
	}
	part(": ", p.Key)
	part(": ", p.Problem)
	part("; allowed: ", p.Allowed)
	part("; ", p.Hint)
	return b.String()
}

func (c *cli) configReloadCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the host read its configuration again",
		Long: `Makes the running host read its file again. Everything is checked first, all or
nothing; what can be changed while it runs is, and the rest is named.`,
		Example: `  ironpost config reload`,
		Args:    between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.host(cmd.Context(), changeTimeout, func(ctx context.Context, h *control.Client) error {
				resp, err := h.ReloadConfig(ctx, &ironpostv1.ReloadConfigRequest{})
				if err != nil {
					return fmt.Errorf("config reload: %w", err)
				}
				if c.json() {
					return c.message(resp)
				}
				if len(resp.GetApplied())+len(resp.GetNeedsRestart()) == 0 {
					return c.line("nothing changed")
				}
				for _, key := range resp.GetApplied() {
					if err := c.line("applied: %s", key); err != nil {
						return err
					}
				}
				for _, key := range resp.GetNeedsRestart() {
					if err := c.line("needs a restart of the host: %s", key); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}
