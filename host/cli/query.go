package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// filter holds the flags of lists that a store answers.
type filter struct {
	since, until string
	limit, skip  uint32
	equal        []string
	text         string
}

func (f *filter) flags(cmd *cobra.Command) {
	f.conditions(cmd)
	cmd.Flags().Uint32VarP(&f.limit, "limit", "n", 100, "at most this many, the newest first")
	cmd.Flags().Uint32Var(&f.skip, "skip", 0, "leave out this many of the newest")
}

// conditions are the flags that say which events, without how many.
func (f *filter) conditions(cmd *cobra.Command) {
	f.limit = pageSize
	cmd.Flags().StringVar(&f.since, "since", "", "only what happened since: 1h, 7d, a date or an RFC 3339 time")
	cmd.Flags().StringVar(&f.until, "until", "", "only what happened before: 1h, 7d, a date or an RFC 3339 time")
	cmd.Flags().StringArrayVar(&f.equal, "where", nil, "only those whose field or entity has this value, as src_ip=192.0.2.7; may be repeated")
}

// textFlag is for lists whose events are searched.
func (f *filter) textFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.text, "text", "", `only what contains all of these: words, "phrases", and beginnings of words, as adm*`)
}

// storeFlag lets a verb and those below it choose the store that answers.
func (c *cli) storeFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&c.store, "store", "", "the sink that answers, as sink-postgres; without it sink-sqlite, where that runs")
}

// request turns the flags into a query.
func (c *cli) request(f *filter, kind ironpostv1.Kind) (*ironpostv1.QueryRequest, error) {
	req := &ironpostv1.QueryRequest{Kind: kind, Limit: f.limit, Skip: f.skip, Text: f.text}
	for _, bound := range []struct {
		flag, value string
		into        *uint64
	}{{"--since", f.since, &req.Since}, {"--until", f.until, &req.Until}} {
		if bound.value == "" {
			continue
		}
		t, err := parseWhen(bound.value, c.now())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", bound.flag, err)
		}
		*bound.into = uint64(t.UnixNano())
	}
	if f.limit == 0 || f.limit > control.MaxQuery {
		return nil, invalid("--limit %d; allowed are 1 to %d", f.limit, control.MaxQuery)
	}
	for _, pair := range f.equal {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, invalid("--where %s: write NAME=VALUE, for example src_ip=192.0.2.7", pair)
		}
		req.Equal = append(req.Equal, &ironpostv1.Field{Key: key, Value: value})
	}
	return req, nil
}

// query calls f with every batch of the answer.
func query(ctx context.Context, h *control.Client, req *ironpostv1.QueryRequest, f func(*ironpostv1.Batch)) error {
	stream, err := h.Query(ctx, req)
	if err != nil {
		return err
	}
	return batches(stream, f)
}

// batches calls f with every batch of an answer.
func batches(stream grpc.ServerStreamingClient[ironpostv1.Batch], f func(*ironpostv1.Batch)) error {
	return takeBatches(stream, func(b *ironpostv1.Batch) error {
		f(b)
		return nil
	})
}

// takeBatches is batches until f returns an error.
func takeBatches(stream grpc.ServerStreamingClient[ironpostv1.Batch], f func(*ironpostv1.Batch) error) error {
	for {
		b, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(b); err != nil {
			return err
		}
	}
}

// severity checks the name of a severity; "" is none.
func severity(name string) (ironpostv1.Severity, error) {
	if name == "" {
		return 0, nil
	}
	s, ok := event.ParseSeverity(name)
	if !ok {
		return 0, invalid("--severity %s: there is no such severity; allowed are informational, low, medium, high, critical", name)
	}
	return ironpostv1.Severity(s), nil
}
