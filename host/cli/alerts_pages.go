package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// pageSize is how many events one query of a longer read asks for.
const pageSize = 5000

// errEnough ends a read early.
var errEnough = errors.New("enough")

// pages asks for alerts or actions, page by page and the newest first, whatever their
// number, and calls visit with each batch until it returns an error; errEnough is none.
// The limit of the request is the size of a page. What is added meanwhile is not in it,
// but for what says of itself that it is older.
func pages(ctx context.Context, h *control.Client, req *ironpostv1.QueryRequest, visit func(*ironpostv1.Batch) error) error {
	size := req.GetLimit()
	// A page begins where the one before ended: at the time of its last event, of which
	// as many are left out as were seen.
	var last uint64
	var seen uint32
	var before string // the first of the page before
	for {
		var n uint32
		page, stop := context.WithCancel(ctx)
		stream, err := h.Query(page, req)
		if err == nil {
			err = takeBatches(stream, func(b *ironpostv1.Batch) error {
				for id, t := range idsAndTimes(b) {
					if n == 0 {
						if id == before && id != "" {
							return fmt.Errorf("the store answers the same page again, from %s on", id)
						}
						before = id
					}
					n++
					if t != last {
						last, seen = t, 0
					}
					seen++
				}
				return visit(b)
			})
		}
		stop()
		switch {
		case errors.Is(err, errEnough):
			return nil
		case err != nil:
			return err
		case n < size:
			return nil
		}
		req.Until, req.Skip = max(last, 1), seen
	}
}

// idsAndTimes yields the id and the time of each event of a batch.
func idsAndTimes(b *ironpostv1.Batch) iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for _, a := range b.GetAlerts() {
			if !yield(a.GetId(), a.GetTime()) {
				return
			}
		}
		for _, a := range b.GetActions() {
			if !yield(actionKey(a), a.GetTime()) {
				return
			}
		}
	}
}

// actionKey tells the events about one intent apart.
func actionKey(a *ironpostv1.ActionEvent) string {
	return a.GetId() + " " + strconv.FormatUint(a.GetTime(), 10) + " " + view.OutcomeName(a.GetOutcome())
}

// alertPages is pages for alerts.
func alertPages(ctx context.Context, h *control.Client, req *ironpostv1.QueryRequest, visit func(found) error) error {
	var host *ironpostv1.StatusResponse
	return pages(ctx, h, req, func(b *ironpostv1.Batch) error {
		if host == nil { // the sink goes on while the host says who it is
			var err error
			if host, err = h.Status(ctx, &ironpostv1.StatusRequest{}); err != nil && !errors.Is(err, control.ErrNotSupported) {
				return err
			}
		}
		for _, a := range b.GetAlerts() {
			if err := visit(found{view.ContextOf(host.GetHostId(), b), a}); err != nil {
				return err
			}
		}
		return nil
	})
}

// lineWriter writes lines to stdout through a buffer; flush it at the end.
type lineWriter struct {
	out *bufio.Writer
	buf []byte
}

// add writes what f appends, as a line.
func (l *lineWriter) add(f func(dst []byte) []byte) error {
	l.buf = append(f(l.buf[:0]), '\n')
	_, err := l.out.Write(l.buf)
	return err
}
