package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/export/ecs"
	"github.com/ironpost/ironpost/host/internal/export/ocsf"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// exporter writes events in the schema of others.
type exporter interface {
	AppendAlert(dst []byte, a *ironpostv1.AlertEvent) []byte
	AppendAction(dst []byte, a *ironpostv1.ActionEvent) []byte
}

// ownSchema writes events as the other verbs show them.
type ownSchema struct{ context view.Context }

func (o *ownSchema) AppendAlert(dst []byte, a *ironpostv1.AlertEvent) []byte {
	return view.AppendAlert(dst, &o.context, a)
}

func (o *ownSchema) AppendAction(dst []byte, a *ironpostv1.ActionEvent) []byte {
	return view.AppendAction(dst, a)
}

func (c *cli) alertsExportCmd() *cobra.Command {
	var f alertFilter
	var format string
	var actions bool
	cmd := &cobra.Command{
		Use:   "export --format ocsf|ecs|json",
		Short: "Write alerts as NDJSON in OCSF or ECS, for a SIEM or a data lake",
		Long: `Writes the stored alerts to stdout, one JSON object a line, the newest first, however
many there are. Silenced ones are among them, and say so.

  ocsf  Open Cybersecurity Schema Framework ` + ocsf.Version + `: Detection Finding (2004)
  ecs   Elastic Common Schema ` + ecs.Version + `: event.kind alert
  json  the members that alerts list -o json shows

--actions writes behind them what was done, from the same time: in OCSF as Remediation
Activity (7001), without what remedies nothing, such as notices.

Ids stay the same from export to export: load by metadata.uid or event.id, and what
comes again replaces itself. An alert that was acknowledged or closed meanwhile comes
with its new state. How many events were written is said on stderr; when the sink
breaks off, what was written is valid, and the exit status is 1.`,
		Example: `  ironpost alerts export --format ocsf --since 24h > findings.ndjson
  ironpost alerts export --format ocsf --since 1h --actions | gzip > hour.ndjson.gz
  ironpost alerts export --format ecs --severity high --state open | jq -c '.rule.name'
  ironpost alerts export --format ecs --since 1d | jq -c '{create:{_id:.event.id}},.' \
    | curl -H 'Content-Type: application/x-ndjson' --data-binary @- \
      https://es.example/logs-ironpost.alert-default/_bulk`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req, err := c.alertRequest(&f)
			if err != nil {
				return err
			}
			switch format {
			case "ocsf", "ecs", "json":
			case "":
				return usage(cmd, "%s: --format is missing; there are ocsf, ecs and json", cmd.CommandPath())
			default:
				return invalid("--format %s: there is no such format; allowed are ocsf, ecs, json", format)
			}
			return c.host(cmd.Context(), 0, func(ctx context.Context, h *control.Client) error {
				return c.export(ctx, h, req, format, actions)
			})
		},
	}
	f.conditions(cmd)
	f.flags(cmd)
	cmd.Flags().StringVar(&format, "format", "", "schema of the lines: ocsf, ecs or json")
	cmd.Flags().BoolVar(&actions, "actions", false, "also what was done, of the same time")
	return cmd
}

// export writes what a request asks for while it comes; it keeps one line at a time.
func (c *cli) export(ctx context.Context, h *control.Client, req *ironpostv1.QueryRequest, format string, actions bool) error {
	host, err := h.Status(ctx, &ironpostv1.StatusRequest{})
	if err != nil && !errors.Is(err, control.ErrNotSupported) {
		return fmt.Errorf("alerts export: %w", err)
	}
	var e exporter
	switch format {
	case "ocsf":
		e = ocsf.NewEncoder(host.GetHostId(), host.GetVersion())
	case "ecs":
		e = ecs.NewEncoder(host.GetHostId(), host.GetVersion())
	default:
		e = &ownSchema{view.Context{HostID: host.GetHostId()}}
	}
	out := &lineWriter{out: bufio.NewWriterSize(c.stdout, 64<<10)}
	var alerts, done, left uint64
	since, until := req.GetSince(), req.GetUntil()
	err = pages(ctx, h, req, func(b *ironpostv1.Batch) error {
		for _, a := range b.GetAlerts() {
			alerts++
			if err := out.add(func(dst []byte) []byte { return e.AppendAlert(dst, a) }); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && actions {
		about := &ironpostv1.QueryRequest{Kind: ironpostv1.Kind_KIND_ACTION, Since: since, Until: until, Limit: pageSize}
		err = pages(ctx, h, about, func(b *ironpostv1.Batch) error {
			for _, a := range b.GetActions() {
				if format == "ocsf" && !ocsf.Remediates(a) {
					left++
					continue
				}
				done++
				if err := out.add(func(dst []byte) []byte { return e.AppendAction(dst, a) }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if flushed := out.out.Flush(); flushed != nil {
		err = errors.Join(err, fmt.Errorf("write the output: %w", flushed))
	}
	if err != nil {
		return fmt.Errorf("alerts export: after %d alerts and %d actions: %w", alerts, done, err)
	}
	text := fmt.Sprintf("%d alerts", alerts)
	if actions {
		text += fmt.Sprintf(", %d actions", done)
	}
	if left > 0 {
		text += fmt.Sprintf("; %d actions remedy nothing and were left out", left)
	}
	fmt.Fprintln(c.stderr, text)
	return nil
}
