package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) modeCmd() *cobra.Command {
	var confirm string
	words := []string{"detect", "simulate", "enforce", "confirm"}
	cmd := &cobra.Command{
		Use:   "mode [detect|simulate|enforce|confirm]",
		Short: "Show or change what the host does about alerts",
		Long: `Without an argument shows the mode:

  detect    raises alerts, and decides nothing
  simulate  runs every check and records what it would do, but does nothing
  enforce   does it

With --confirm the host falls back to the mode before after that time, unless
"ironpost mode confirm" comes first: a way back when enforce locks you out.`,
		Example: `  ironpost mode
  ironpost mode enforce --confirm 10m
  ironpost mode confirm`,
		Args:      between(0, 1, ""),
		ValidArgs: words,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && !slices.Contains(words, args[0]) {
				return usage(cmd, "there is no mode %q; allowed are detect, simulate, enforce", args[0])
			}
			req := &ironpostv1.ModeRequest{}
			switch {
			case len(args) == 1 && args[0] == "confirm":
				req.Confirm = true
			case len(args) == 1:
				req.Mode = args[0]
			}
			if confirm != "" {
				if req.Mode == "" {
					return usage(cmd, "--confirm goes with a mode to change to, as in: ironpost mode enforce --confirm 10m")
				}
				d, err := parseSpan(confirm)
				if err != nil {
					return fmt.Errorf("--confirm: %w", err)
				}
				if d == 0 {
					return invalid("--confirm %s: it has to be longer than nothing", confirm)
				}
				req.ConfirmSeconds = d.Seconds()
			}
			return c.changeMode(cmd.Context(), req)
		},
	}
	cmd.Flags().StringVar(&confirm, "confirm", "", "fall back after this time, as 10m, unless confirmed")
	return cmd
}

func (c *cli) changeMode(ctx context.Context, req *ironpostv1.ModeRequest) error {
	return c.host(ctx, readTimeout, func(ctx context.Context, h *control.Client) error {
		call := h.SetMode
		if req.GetMode() == "" && !req.GetConfirm() {
			call = h.GetMode
		}
		resp, err := call(ctx, req)
		if err != nil {
			return fmt.Errorf("mode: %w", err)
		}
		if c.json() {
			return c.message(resp)
		}
		text := resp.GetMode()
		if resp.GetPrevious() != "" && resp.GetPrevious() != resp.GetMode() {
			text += " (before: " + resp.GetPrevious() + ")"
		}
		if resp.GetReverts() != nil {
			text += fmt.Sprintf("; falls back at %s unless confirmed with: ironpost mode confirm", stamp(resp.GetReverts()))
		}
		return c.line("%s", text)
	})
}
