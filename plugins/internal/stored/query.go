package stored

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/search"
)

const (
	// MaxLimit is the greatest number of records of one query, and the number
	// when it sets no limit.
	MaxLimit = 100_000
	// MinPrefix is the shortest prefix of an id, in characters.
	MinPrefix = 8
	// AfterAll is behind every text that begins with what is before it.
	AfterAll = "\U0010ffff"
)

// Limit returns how many records a query may yield.
func Limit(q sdk.Query) int {
	if q.Limit <= 0 || q.Limit > MaxLimit {
		return MaxLimit
	}
	return q.Limit
}

// CheckState refuses what is no state of an alert; the error wraps sdk.ErrQuery.
func CheckState(state string) error {
	if !IsState(state) {
		return fmt.Errorf("%w: state %q: want open, acknowledged or closed", sdk.ErrQuery, state)
	}
	return nil
}

// IsState reports whether an alert can have the state.
func IsState(state string) bool {
	return slices.Contains([]string{"open", "acknowledged", "closed"}, state)
}

// CheckID refuses a prefix of an id that is too short; the error wraps sdk.ErrQuery.
func CheckID(id string) error {
	if len(id) < MinPrefix {
		return fmt.Errorf("%w: id %q: want at least its first %d characters", sdk.ErrQuery, id, MinPrefix)
	}
	return nil
}

// Range is which streams and sequences the id of a log event or packet summary selects,
// or a prefix of it.
type Range struct {
	// Low and High bound the streams, both included.
	Low, High uint64
	// Sequence is the one that is meant, where Exact is true.
	Sequence uint64
	Exact    bool
}

// ParseRange reads STREAM-SEQUENCE, or the beginning of it; the error wraps sdk.ErrQuery.
func ParseRange(id string) (Range, error) {
	stream, sequence, whole := strings.Cut(id, "-")
	low, err := strconv.ParseUint(stream+strings.Repeat("0", max(0, 16-len(stream))), 16, 64)
	if err != nil || len(stream) > 16 || whole && len(stream) != 16 {
		return Range{}, fmt.Errorf("%w: id %q: want STREAM-SEQUENCE in hexadecimal, or the beginning of it", sdk.ErrQuery, id)
	}
	r := Range{Low: low, High: low | (1<<(4*(16-len(stream))) - 1)}
	if whole && sequence != "" {
		if r.Sequence, err = strconv.ParseUint(sequence, 16, 64); err != nil {
			return Range{}, fmt.Errorf("%w: id %q: want STREAM-SEQUENCE in hexadecimal", sdk.ErrQuery, id)
		}
		r.Exact = true
	}
	return r, nil
}

// Value returns what a field of a query is compared with in an action, a log event or a packet
// summary, where no column has it; false when the record has no such field.
func Value(r sdk.Record, key string) (string, bool) {
	switch {
	case r.Action != nil:
		if key == "outcome" {
			return r.Action.Outcome.String(), true
		}
		for _, d := range r.Action.Details {
			if d.Key == key {
				return d.Value, true
			}
		}
	case r.Log != nil:
		return r.Log.Get(key)
	case r.Packet != nil:
		p := r.Packet
		switch key {
		case "interface":
			return p.Interface, true
		case "scope":
			return p.Scope.String(), true
		case "src_ip":
			return p.Source.String(), p.Source.IsValid()
		case "dst_ip":
			return p.Destination.String(), p.Destination.IsValid()
		case "dst_port":
			return strconv.Itoa(int(p.DestinationPort)), true
		}
	}
	return "", false
}

// Texts are the texts of an alert that are searched.
func Texts(a *event.AlertEvent) []string {
	texts := []string{a.Title, a.Description}
	for _, f := range a.Entities {
		texts = append(texts, f.Value)
	}
	for _, f := range a.Details {
		texts = append(texts, f.Value)
	}
	for _, e := range a.Logs {
		texts = append(texts, e.Message)
	}
	return texts
}

// Contains reports whether an alert or a log event has all terms; with none, whether it is
// anything.
func Contains(r sdk.Record, terms []search.Term) bool {
	switch {
	case len(terms) == 0:
		return true
	case r.Alert != nil:
		return search.Matches(terms, Texts(r.Alert)...)
	case r.Log != nil:
		return search.Matches(terms, r.Log.Message)
	}
	return false
}
