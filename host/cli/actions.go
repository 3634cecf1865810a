package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

func (c *cli) actionsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "actions",
		Short: "What was done about alerts, or would have been",
	}
	group(cmd)
	c.storeFlag(cmd)
	cmd.AddCommand(c.actionsListCmd())
	return cmd
}

func (c *cli) actionsListCmd() *cobra.Command {
	var f filter
	var alert string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Actions, the newest first",
		Long: `Lists what was done about alerts. Outcomes: planned, simulated (every check passed,
the mode is simulate), applied, refused (a rail or a limit forbade it), failed,
released, expired.`,
		Example: `  ironpost actions list --since 24h
  ironpost actions list --where target=192.0.2.7/32 -o json`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req, err := c.request(&f, ironpostv1.Kind_KIND_ACTION)
			if err != nil {
				return err
			}
			if alert != "" {
				req.Equal = append(req.Equal, &ironpostv1.Field{Key: "alert_id", Value: alert})
			}
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				return c.listActions(ctx, h, req)
			})
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&alert, "alert", "", "only actions about the alert with this id")
	return cmd
}

// listActions is listAlerts for actions.
func (c *cli) listActions(ctx context.Context, h *control.Client, req *ironpostv1.QueryRequest) error {
	var list array
	t := newTable("TIME", "OUTCOME", "ACTION", "TARGET", "MODE", "ENFORCER", "ALERT", "EXPIRES", "REASON")
	err := query(ctx, h, req, func(b *ironpostv1.Batch) {
		for _, a := range b.GetActions() {
			if c.json() {
				list.add(func(dst []byte) []byte { return view.AppendAction(dst, a) })
				continue
			}
			t.row(stampNS(a.GetTime()), event.Outcome(a.GetOutcome()).String(), a.GetAction(), a.GetTarget(), a.GetMode(),
				a.GetEnforcer(), dash(cut(a.GetAlertId(), 13)), stampNS(a.GetExpires()), dash(a.GetReason()))
		}
	})
	switch {
	case err != nil:
		return fmt.Errorf("actions list: %w", err)
	case c.json():
		return c.printArray(&list)
	}
	return c.printTable(t, "there are no such actions")
}
