package respond

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// deed is what a block does to packets, as it is kept. The zero value drops them.
type deed struct {
	// Limit is how many packets a second each source may send, 0 for none; Burst
	// how many of them at once, 0 for what xdp makes of it.
	Limit uint32 `json:"limit,omitempty"`
	Burst uint32 `json:"burst,omitempty"`
	// Monitor counts them and drops none.
	Monitor bool `json:"monitor,omitempty"`
	// DryRun counts what would be dropped.
	DryRun bool `json:"dry_run,omitempty"`
}

// deedOf reads an order of the control API.
func deedOf(e control.Entry) (deed, error) {
	d := deed{Limit: e.Limit, Burst: e.Burst, Monitor: e.Monitor, DryRun: e.DryRun}
	return d, d.check()
}

// check returns an error for a deed that no filter can do; it wraps
// control.ErrInvalid.
func (d deed) check() error {
	switch {
	case d.Monitor && (d.Limit > 0 || d.DryRun):
		return fmt.Errorf("%w: what is monitored is not dropped: it has no limit and no dry run", control.ErrInvalid)
	case d.Burst > 0 && d.Limit == 0:
		return fmt.Errorf("%w: a burst of %d packets belongs to a limit", control.ErrInvalid, d.Burst)
	case d.Limit > xdp.MaxLimit:
		return fmt.Errorf("%w: a limit of %d packets a second; allowed are 1 to %d", control.ErrInvalid, d.Limit, xdp.MaxLimit)
	case d.Burst > xdp.MaxBurst:
		return fmt.Errorf("%w: a burst of %d packets; allowed are 1 to %d", control.ErrInvalid, d.Burst, xdp.MaxBurst)
	}
	return nil
}

// action is the name of the deed in action events and in the control API.
func (d deed) action() string {
	switch {
	case d.Monitor:
		return actionMonitor
	case d.Limit > 0:
		return actionLimit
	}
	return actionBlock
}

// verdict is what the deed makes of an address.
func (d deed) verdict() string {
	switch {
	case d.Monitor || d.DryRun:
		return "monitored"
	case d.Limit > 0:
		return "limited"
	}
	return "blocked"
}

// compare orders deeds by how much they keep away, the weakest first.
func (d deed) compare(o deed) int {
	rank := func(d deed) int {
		switch {
		case d.Monitor:
			return 0
		case d.DryRun:
			return 1
		case d.Limit > 0:
			return 2
		}
		return 3
	}
	// A lower limit is stronger.
	return cmp.Or(cmp.Compare(rank(d), rank(o)), cmp.Compare(o.Limit, d.Limit))
}

// onto writes the deed into what a filter is told.
func (d deed) onto(e *xdp.Entry) {
	switch {
	case d.Monitor:
		e.Action = xdp.ActionMonitor
	case d.Limit > 0:
		e.Action, e.Limit, e.Burst = xdp.ActionLimit, d.Limit, d.Burst
	}
	e.DryRun = d.DryRun
}

// limitOf reads the limit that an intent asks for.
func limitOf(a *pb.ActionEvent) (deed, *refusal) {
	text := detail(a, detailLimit)
	if text == "" {
		return deed{}, &refusal{CodeLimit, "It names no limit."}
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n < 1 || n > xdp.MaxLimit {
		return deed{}, &refusal{CodeLimit, fmt.Sprintf("A limit of %q packets a second; 1 to %d make sense.", text, xdp.MaxLimit)}
	}
	return deed{Limit: uint32(n)}, nil
}
