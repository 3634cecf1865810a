package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) pluginLogsCmd() *cobra.Command {
	req := &ironpostv1.PluginLogsRequest{}
	cmd := &cobra.Command{
		Use:   "logs PLUGIN",
		Short: "The last lines that a plugin wrote, and what the host says about it",
		Long: `Shows the last lines that a plugin wrote to its standard error, over its restarts,
and what the host says about it: why it was started again, for example. The host
keeps 1000 lines of each plugin, at most 256 KiB, in memory. Control characters
are replaced, long lines cut, and a plugin that writes too much loses lines, which
is said. A file that was refused has its lines under its own name.`,
		Example: `  ironpost plugin logs parser-acme
  ironpost plugin logs parser-acme -f -n 20
  ironpost plugin logs parser-acme -o json | jq -r '.[] | select(.level == "error") | .message'`,
		Args:              between(1, 1, "PLUGIN"),
		ValidArgsFunction: c.completePlugins,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Name = args[0]
			return c.host(cmd.Context(), 0, func(ctx context.Context, h *control.Client) error { return c.pluginLogs(ctx, h, req) })
		},
	}
	cmd.Flags().Uint32VarP(&req.Last, "lines", "n", 0, "begin with the last lines, this many (default: all that are kept)")
	cmd.Flags().BoolVarP(&req.Follow, "follow", "f", false, "go on with the lines to come, until it is interrupted")
	return cmd
}

// pluginLogs prints lines: TIME LEVEL FROM MESSAGE; as JSON they are an array, or
// one object a line where there is no end.
func (c *cli) pluginLogs(ctx context.Context, h *control.Client, req *ironpostv1.PluginLogsRequest) error {
	stream, err := h.PluginLogs(ctx, req)
	if err != nil {
		return err
	}
	all := []*ironpostv1.PluginLogLine{}
	for {
		r, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && c.json() && !req.GetFollow():
			return list(c, all)
		case errors.Is(err, io.EOF), ctx.Err() != nil, errors.Is(err, context.Canceled):
			return nil // an interrupt is how following ends
		case err != nil:
			return fmt.Errorf("plugin logs %s: %w", req.GetName(), err)
		}
		if c.json() && !req.GetFollow() {
			all = append(all, r.GetLines()...)
			continue
		}
		var b bytes.Buffer
		for _, l := range r.GetLines() {
			if c.json() {
				b.Write(view.AppendMessage(nil, l))
			} else {
				fmt.Fprintf(&b, "%s %-5s %-6s %s", l.GetTime().AsTime().Format("2006-01-02T15:04:05.000Z"),
					view.Printable(l.GetLevel()), view.Printable(l.GetFrom()), view.Printable(l.GetMessage()))
			}
			b.WriteByte('\n')
		}
		if err := c.write(b.Bytes()); err != nil {
			return err
		}
	}
}
