package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) guardDisableCmd() *cobra.Command {
	ask := &ironpostv1.DisableGuardRequest{}
	cmd := &cobra.Command{
		Use:   "disable [--release-all]",
		Short: "Answer nothing on containers any more, and release what is in effect",
		Long: `From now on, and over restarts of the host, no container is answered on: what policies
lead to is refused, with the code guard_disabled, as are the orders of operators, and what
waits for its turn or for approval never begins. Alerts are raised as before, and
addresses are blocked as before. status says that the guard is disabled.

What is in effect stays until its time is over. With --release-all it is released
now, also what cannot be at once, such as while Docker is away. Given later it is
released then.`,
		Example: `  ironpost guard disable --release-all --reason "release 4.2 is going out"
  ironpost guard history      what is still being released
  ironpost guard enable`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.host(cmd.Context(), changeTimeout, func(ctx context.Context, h *control.Client) error {
				resp, err := h.DisableGuard(ctx, ask)
				if err != nil {
					return fmt.Errorf("guard disable: %w", err)
				}
				return c.printSwitch(resp)
			})
		},
	}
	cmd.Flags().BoolVar(&ask.ReleaseAll, "release-all", false, "release what is in effect")
	cmd.Flags().StringVar(&ask.Reason, "reason", "", "why, for the record")
	return cmd
}

func (c *cli) guardEnableCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "enable",
		Short: "Answer on containers again",
		Long: `Takes guard disable back. What was released stays so, and alerts that were raised
meanwhile are not answered.`,
		Example: `  ironpost guard enable`,
		Args:    between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.host(cmd.Context(), changeTimeout, func(ctx context.Context, h *control.Client) error {
				resp, err := h.EnableGuard(ctx, &ironpostv1.EnableGuardRequest{})
				if err != nil {
					return fmt.Errorf("guard enable: %w", err)
				}
				return c.printSwitch(resp)
			})
		},
	}
}

// printSwitch says what the guard does now, and what is released.
func (c *cli) printSwitch(resp *ironpostv1.GuardSwitchResponse) error {
	if c.json() {
		return c.message(resp)
	}
	if resp.GetState().GetEnabled() {
		return c.line("the guard is enabled")
	}
	if err := c.line("the guard is disabled, %s", since(resp.GetState())); err != nil {
		return err
	}
	if !resp.GetState().GetReleaseAll() {
		return c.line("what is in effect stays until its time is over; ironpost guard history shows it")
	}
	return c.printIntents(resp.GetIntents(), "nothing was in effect")
}

// since says who disabled the guard, when and why.
func since(s *ironpostv1.GuardState) string {
	text := fmt.Sprintf("since %s by %s", stamp(s.GetSince()), s.GetBy())
	if s.GetReason() != "" {
		text += ": " + s.GetReason()
	}
	return text
}
