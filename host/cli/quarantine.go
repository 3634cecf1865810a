package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) quarantineCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "Records that ended a plugin, and what to do with them",
		Long: `A record is in quarantine when a plugin ended twice with that record alone in
flight. The plugin goes on without it. What a parser ended at went on unparsed,
with the reason "quarantined".`,
	}
	group(cmd)
	cmd.AddCommand(c.quarantineListCmd(), c.quarantineShowCmd(), c.quarantineReplayCmd(), c.quarantineDropCmd())
	return cmd
}

func (c *cli) quarantineListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Records in quarantine, the oldest first",
		Example: `  ironpost quarantine list
  ironpost quarantine list -o json | jq -r '.[].id'`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				resp, err := h.ListQuarantine(ctx, &ironpostv1.ListQuarantineRequest{})
				if err != nil {
					return fmt.Errorf("quarantine list: %w", err)
				}
				if c.json() {
					return list(c, resp.GetRecords())
				}
				t := newTable("ID", "TIME", "PLUGIN", "KIND", "STREAM", "SEQUENCE", "SIZE", "ENDED")
				for _, r := range resp.GetRecords() {
					t.row(r.GetId(), stamp(r.GetTime()), r.GetPlugin(), r.GetKind(), r.GetStream(), count(r.GetSequence()),
						size(uint64(r.GetSize())), r.GetReason())
				}
				return c.printTable(t, "nothing is in quarantine")
			})
		},
	}
}

func (c *cli) quarantineShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "One record with what it holds",
		Long: `Shows one record. What it holds is shown as text, with control characters
replaced; with -o json the field bytes has it exactly, in hexadecimal.`,
		Example: `  ironpost quarantine show 8a51f0c2d3e4b6a7
  ironpost quarantine show 8a51f0c2d3e4b6a7 -o json | jq -r .bytes | xxd -r -p`,
		Args: between(1, 1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				r, err := h.ShowQuarantine(ctx, &ironpostv1.QuarantineRequest{Id: args[0]})
				if err != nil {
					return fmt.Errorf("quarantine show: %w", err)
				}
				if c.json() {
					return c.message(r)
				}
				for _, line := range [][2]string{
					{"id", r.GetId()},
					{"plugin", r.GetPlugin() + ", as " + r.GetKind()},
					{"record", fmt.Sprintf("%s, sequence %d of %s", dash(r.GetRecord()), r.GetSequence(), r.GetStream())},
					{"time", stamp(r.GetTime())},
					{"ended", r.GetReason()},
					{"replayed", stamp(r.GetReplayed())},
					{"bytes", size(uint64(len(r.GetBytes())))},
					{"text", dash(r.GetText())},
				} {
					if err := c.line("%-10s%s", line[0], view.Printable(line[1])); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func (c *cli) quarantineReplayCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "replay ID...",
		Short: "Give records to their plugin again",
		Long: `Gives records to their plugin again, for example after it was mended. A record
leaves the quarantine when the plugin got through it; when the plugin ends at it
again, it stays. Records come late, and out of order: what a detector counts in
windows of time does not see them where they were.`,
		Example: `  ironpost quarantine replay 8a51f0c2d3e4b6a7`,
		Args:    between(1, -1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.changeQuarantine(cmd.Context(), "replay", args, func(h *control.Client) quarantineCall { return h.ReplayQuarantine },
				"given to %[1]s again: sequence %[2]d of %[3]s")
		},
	}
}

func (c *cli) quarantineDropCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "drop ID...",
		Short:   "Delete records from the quarantine",
		Example: `  ironpost quarantine drop 8a51f0c2d3e4b6a7`,
		Args:    between(1, -1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.changeQuarantine(cmd.Context(), "drop", args, func(h *control.Client) quarantineCall { return h.DropQuarantine },
				"dropped: sequence %[2]d of %[3]s, which ended %[1]s")
		},
	}
}

type quarantineCall func(context.Context, *ironpostv1.QuarantineRequest, ...grpc.CallOption) (*ironpostv1.QuarantinedRecord, error)

// changeQuarantine prints what became of each record; the first that fails ends it.
func (c *cli) changeQuarantine(ctx context.Context, verb string, ids []string, pick func(*control.Client) quarantineCall, done string) error {
	return c.host(ctx, changeTimeout, func(ctx context.Context, h *control.Client) error {
		records := make([]*ironpostv1.QuarantinedRecord, 0, len(ids))
		for _, id := range ids {
			r, err := pick(h)(ctx, &ironpostv1.QuarantineRequest{Id: id})
			if err != nil {
				return fmt.Errorf("quarantine %s %s: %w", verb, id, err)
			}
			records = append(records, r)
			if c.json() {
				continue
			}
			if err := c.line("%s", view.Printable(fmt.Sprintf(done, r.GetPlugin(), r.GetSequence(), r.GetStream()))); err != nil {
				return err
			}
		}
		if !c.json() {
			return nil
		}
		return list(c, records)
	})
}
