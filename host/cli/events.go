package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) eventsCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "events", Short: "Follow events as they pass, and search those that are kept"}
	group(cmd)
	c.storeFlag(cmd)
	cmd.AddCommand(c.eventsTailCmd(), c.eventsSearchCmd())
	return cmd
}

func (c *cli) eventsSearchCmd() *cobra.Command {
	var f filter
	var kind, least string
	cmd := &cobra.Command{
		Use:   "search [WORD...]",
		Short: "Find stored events, the newest first, one JSON object a line",
		Long: `Finds log events and packet summaries that a sink keeps (sink_sqlite.keep_events), and
alerts and actions, one JSON object a line.

Log events are searched by their message; alerts by title, description, entities, details
and the messages that they cite. An event must contain all words, in any order:

  failed root          both words
  "failed password"    one word right after the other; quote it for the shell
  10.0.0.7             the same as "10 0 0 7": everything but letters and digits divides words
  adm*                 a word that begins so

Neither case nor accents count, and no character has another meaning.`,
		Example: `  ironpost events search failed password --since 1h
  ironpost events search '"invalid user"' 'adm*' --where host=web1 -n 20
  ironpost events search --kind packet --where src_ip=192.0.2.7 --since 1d`,
		Args: between(0, -1, "WORD"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, ok := kindByName(kind)
			if !ok {
				return usage(cmd, "--kind %s: there is no such kind; allowed are log, packet, alert, action, inventory", kind)
			}
			f.text = strings.Join(args, " ")
			req, err := c.request(&f, k)
			if err != nil {
				return err
			}
			if req.MinSeverity, err = severity(least); err != nil {
				return err
			}
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				return c.search(ctx, h, req)
			})
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&kind, "kind", "log", "the kind to search: log, packet, alert, action, inventory")
	cmd.Flags().StringVar(&least, "severity", "", "only what is at least this severe: informational, low, medium, high, critical")
	return cmd
}

// search prints what is found as it comes.
func (c *cli) search(ctx context.Context, h *control.Client, req *ironpostv1.QueryRequest) error {
	host, err := h.Status(ctx, &ironpostv1.StatusRequest{})
	if err != nil && !errors.Is(err, control.ErrNotSupported) {
		return err
	}
	stream, err := h.Query(ctx, req)
	if err != nil {
		return fmt.Errorf("events search: %w", err)
	}
	var lines []byte
	err = takeBatches(stream, func(b *ironpostv1.Batch) error {
		lines = view.AppendBatch(lines[:0], host.GetHostId(), b)
		return c.write(lines)
	})
	if err != nil {
		return fmt.Errorf("events search: %w", err)
	}
	return nil
}

// kindByName lists the kinds that can be followed.
func kindByName(name string) (ironpostv1.Kind, bool) {
	switch name {
	case "log":
		return ironpostv1.Kind_KIND_LOG, true
	case "packet":
		return ironpostv1.Kind_KIND_PACKET, true
	case "alert":
		return ironpostv1.Kind_KIND_ALERT, true
	case "action":
		return ironpostv1.Kind_KIND_ACTION, true
	case "inventory":
		return ironpostv1.Kind_KIND_INVENTORY, true
	}
	return 0, false
}

func (c *cli) eventsTailCmd() *cobra.Command {
	var kinds []string
	var limit uint64
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print events as they pass, one JSON object a line",
		Long: `Prints log events, packet summaries, alerts and actions as they pass through the
host, one JSON object a line, until it is interrupted. The host never waits for a
tail: when the reader is too slow events are left out, and stderr says how many.`,
		Example: `  ironpost events tail
  ironpost events tail --kind alert,action
  ironpost events tail --kind log | jq -r 'select(.process == "sshd") | .message'`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req := &ironpostv1.TailRequest{}
			for _, name := range kinds {
				k, ok := kindByName(name)
				if !ok {
					return usage(cmd, "--kind %s: there is no such kind; allowed are log, packet, alert, action, inventory", name)
				}
				req.Kinds = append(req.Kinds, k)
			}
			return c.host(cmd.Context(), 0, func(ctx context.Context, h *control.Client) error {
				return c.tail(ctx, h, req, limit)
			})
		},
	}
	cmd.Flags().StringSliceVar(&kinds, "kind", nil, "kinds to show: log, packet, alert, action, inventory (default: all but inventory)")
	cmd.Flags().Uint64VarP(&limit, "limit", "n", 0, "stop after this many events (default: never)")
	return cmd
}

func (c *cli) tail(ctx context.Context, h *control.Client, req *ironpostv1.TailRequest, limit uint64) error {
	host, err := h.Status(ctx, &ironpostv1.StatusRequest{})
	if err != nil && !errors.Is(err, control.ErrNotSupported) {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := h.TailEvents(ctx, req)
	if err != nil {
		return err
	}
	var lines []byte
	for left := limit; ; {
		b, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil, errors.Is(err, context.Canceled):
			return nil // an interrupt is how a tail ends
		case err != nil:
			return fmt.Errorf("follow events: %w", err)
		}
		for _, n := range b.GetControl().GetCounts() {
			fmt.Fprintf(c.stderr, "ironpost: %d events left out: this reader is slower than the host\n", n.GetValue())
		}
		if err := b.Unpack(); err != nil { // of the plugin that sent it, not of the host
			fmt.Fprintf(c.stderr, "ironpost: %d events left out: %v\n", b.GetCount(), err)
			continue
		}
		lines = view.AppendBatch(lines[:0], host.GetHostId(), b)
		if limit > 0 {
			lines, left = firstLines(lines, left)
		}
		if err := c.write(lines); err != nil {
			return err
		}
		if limit > 0 && left == 0 {
			return nil
		}
	}
}

// firstLines returns the first n lines, and how many are left of n.
func firstLines(lines []byte, n uint64) ([]byte, uint64) {
	at := 0
	for n > 0 && at < len(lines) {
		at += bytes.IndexByte(lines[at:], '\n') + 1
		n--
	}
	return lines[:at], n
}
