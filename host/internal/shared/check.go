package shared

import (
	"errors"
	"fmt"
	"math"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// errNoOperation is the error of an operation that says nothing.
var errNoOperation = errors.New("an operation that is neither a window's, a counter's nor a claim's")

// Bounds of an operation; sdk.SharedOperation documents them.
const (
	maxOperations = 256
	maxKey        = 256
	maxFullKey    = 512
	maxID         = 32
	maxValue      = 64
	maxThreshold  = 1024
	maxAlert      = 16 << 10
	minSpan       = uint64(time.Millisecond)
	maxSpan       = uint64(7 * 24 * time.Hour)
)

// check says what is wrong with a request.
func check(req *pb.SharedRequest, maxKey int) error {
	if n := len(req.GetOperations()); n > maxOperations {
		return fmt.Errorf("%d operations at once, at most %d are carried out", n, maxOperations)
	}
	for _, op := range req.GetOperations() {
		if err := checkOperation(op, maxKey); err != nil {
			return err
		}
	}
	return nil
}

func checkOperation(op *pb.SharedOperation, maxKey int) error {
	switch n := len(op.GetKey()); {
	case n == 0 || n > maxKey:
		return fmt.Errorf("a key of %d bytes, want 1 to %d", n, maxKey)
	}
	if err := checkSpan(op.Span); err != nil {
		return err
	}
	switch o := op.Operation.(type) {
	case *pb.SharedOperation_Window:
		w := o.Window
		switch {
		case len(w.GetId()) == 0 || len(w.Id) > maxID:
			return fmt.Errorf("an event's id of %d bytes, want 1 to %d", len(w.GetId()), maxID)
		case len(w.Value) > maxValue:
			return fmt.Errorf("a value of %d bytes, want at most %d", len(w.Value), maxValue)
		case w.Threshold < 1 || w.Threshold > maxThreshold:
			return fmt.Errorf("a threshold of %d, want 1 to %d", w.Threshold, maxThreshold)
		case w.Quiet > maxSpan:
			return fmt.Errorf("a quiet time of %v, want at most %v", time.Duration(min(w.Quiet, math.MaxInt64)), time.Duration(maxSpan)) //nolint:gosec // bounded
		case len(w.Alert) > maxAlert:
			return fmt.Errorf("an alert of %d bytes, want at most %d", len(w.Alert), maxAlert)
		case w.Limit != nil:
			return checkLimit(w.Limit)
		}
	case *pb.SharedOperation_Counter:
		if o.Counter == nil {
			return errNoOperation
		}
	case *pb.SharedOperation_Claim:
		if n := len(o.Claim.GetOwner()); n == 0 || n > maxID {
			return fmt.Errorf("an owner of %d bytes, want 1 to %d", n, maxID)
		}
	default:
		return errNoOperation
	}
	return nil
}

func checkLimit(l *pb.AlertLimit) error {
	switch n := len(l.Key); {
	case n == 0 || n > maxKey:
		return fmt.Errorf("a limit's key of %d bytes, want 1 to %d", n, maxKey)
	case l.Count == 0:
		return errors.New("a limit of 0 alerts, want at least 1")
	}
	return checkSpan(l.Span)
}

func checkSpan(n uint64) error {
	if n < minSpan || n > maxSpan {
		return fmt.Errorf("a span of %v, want %v to %v", time.Duration(min(n, math.MaxInt64)), time.Duration(minSpan), time.Duration(maxSpan)) //nolint:gosec // bounded
	}
	return nil
}
