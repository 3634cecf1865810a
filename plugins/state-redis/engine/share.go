package engine

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/ironpost/ironpost/sdk"
)

const (
	// atOnce is how many decisions one function handles, so that it holds the server up for
	// well below a millisecond.
	atOnce = 64
	// maxReason and maxDecision bound what is kept of one, in bytes.
	maxReason   = 512
	maxDecision = 4 << 10
	maxLeft     = 100 * 365 * 24 * time.Hour
)

// stored is a decision as it is kept.
type stored struct {
	Kind    sdk.DecisionKind `json:"k"`
	Prefix  string           `json:"p"`
	Host    string           `json:"h,omitempty"`
	Source  string           `json:"s,omitempty"`
	Reason  string           `json:"r,omitempty"`
	Alert   string           `json:"a,omitempty"`
	Created int64            `json:"c"`
	Limit   uint32           `json:"l,omitempty"`
	Burst   uint32           `json:"b,omitempty"`
}

func encode(d *sdk.Decision) (string, error) {
	s := stored{d.Kind, d.Prefix, d.Host, d.Source, cut(d.Reason, maxReason), d.AlertID, d.Created.UnixNano(), d.Limit, d.Burst}
	b, err := json.Marshal(s)
	if err == nil && len(b)+len(d.ID) > maxDecision {
		err = fmt.Errorf("it has %d bytes, want at most %d", len(b)+len(d.ID), maxDecision)
	}
	return string(b), err
}

// decode reads a decision that anybody may have written who may write to the server.
func decode(id, value string, left time.Duration) (sdk.Decision, error) {
	var s stored
	if len(value)+len(id) > maxDecision || json.Unmarshal([]byte(value), &s) != nil {
		return sdk.Decision{}, errors.New("it cannot be read")
	}
	if s.Kind < sdk.DecisionBlock || s.Kind > sdk.DecisionAllow {
		return sdk.Decision{}, fmt.Errorf("it is of kind %d", s.Kind)
	}
	if _, err := netip.ParsePrefix(s.Prefix); err != nil {
		return sdk.Decision{}, err
	}
	return sdk.Decision{
		ID: id, Kind: s.Kind, Prefix: s.Prefix, Host: s.Host, Source: s.Source, Reason: s.Reason, AlertID: s.Alert,
		Created: time.Unix(0, s.Created), Remaining: min(left, maxLeft), Limit: s.Limit, Burst: s.Burst,
	}, nil
}

// cut shortens a text between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// fleet names what is kept of decisions; all of it has one hash tag.
func (e *Engine) fleet(what string) string { return e.config.Prefix + ":{fleet}:" + what }

// Share implements sdk.SharedState. What is too large to be kept, or over already, is
// counted and left out.
func (e *Engine) Share(ctx context.Context, decisions []sdk.Decision, removed []string) (takenBack []string, err error) {
	began := time.Now()
	takenBack, err = e.share(ctx, decisions, removed)
	if err = e.done(ctx, began, fmt.Sprintf("share %d decisions and take %d back", len(decisions), len(removed)), err); err != nil {
		return nil, err
	}
	return takenBack, nil
}

func (e *Engine) share(ctx context.Context, decisions []sdk.Decision, removed []string) (takenBack []string, err error) {
	for len(decisions) > 0 || len(removed) > 0 {
		made := decisions[:min(len(decisions), atOnce)]
		gone := removed[:min(len(removed), atOnce-len(made))]
		decisions, removed = decisions[len(made):], removed[len(gone):]
		_, back, err := e.change(ctx, e.client, made, gone)
		if err != nil {
			return nil, err
		}
		takenBack = append(takenBack, back...)
	}
	return takenBack, nil
}

// position is what a server remembers, and up to which change.
type position struct {
	generation string
	number     int64
}

// change shares some decisions, and says where the server stands.
func (e *Engine) change(ctx context.Context, c *redis.Client, made []sdk.Decision, gone []string) (position, []string, error) {
	keys := []string{e.fleet("g"), e.fleet("i"), e.fleet("s")}
	args := []any{rand.Text(), 0}
	n := 0
	for i := range made {
		d := &made[i]
		value, err := encode(d)
		left := min(d.Remaining, maxLeft).Milliseconds()
		if err != nil || left <= 0 || d.ID == "" {
			e.count("decisions_refused", 1)
			continue
		}
		keys = append(keys, e.fleet("d:"+d.ID), e.fleet("t:"+d.ID))
		args = append(args, d.ID, value, left)
		n++
	}
	args[1] = n
	for _, id := range gone {
		keys = append(keys, e.fleet("d:"+id), e.fleet("t:"+id))
		args = append(args, id)
	}
	list, err := e.call(ctx, c, shareFunction, keys, args...).Slice()
	if err != nil {
		return position{}, nil, err
	}
	at, back, err := standing(list)
	if err == nil {
		e.count("decisions_shared", uint64(n))
		e.count("decisions_taken_back", uint64(len(gone)))
	}
	return at, back, err
}

// standing reads what the function answers.
func standing(list []any) (position, []string, error) {
	wrong := fmt.Errorf("%s answers %v", shareFunction, list)
	if len(list) != 3 {
		return position{}, nil, wrong
	}
	generation, _ := list[0].(string)
	number, _ := list[1].(string)
	n, err := strconv.ParseInt(number, 10, 64)
	ids, ok := list[2].([]any)
	if generation == "" || err != nil || !ok {
		return position{}, nil, wrong
	}
	back := make([]string, 0, len(ids))
	for _, id := range ids {
		text, _ := id.(string)
		back = append(back, text)
	}
	return position{generation, n}, back, nil
}

// read returns those of the decisions that are in force.
func (e *Engine) read(ctx context.Context, c *redis.Client, ids []string) ([]sdk.Decision, error) {
	out := make([]sdk.Decision, 0, len(ids))
	for len(ids) > 0 {
		part := ids[:min(len(ids), atOnce)]
		ids = ids[len(part):]
		keys, args := []string{e.fleet("i")}, make([]any, 0, len(part))
		for _, id := range part {
			keys = append(keys, e.fleet("d:"+id))
			args = append(args, id)
		}
		list, err := e.call(ctx, c, readFunction, keys, args...).Slice()
		if err != nil {
			return nil, err
		}
		if len(list) != 2*len(part) {
			return nil, fmt.Errorf("%s answers %d values for %d ids", readFunction, len(list), len(part))
		}
		for i, id := range part {
			value, _ := list[2*i].(string)
			left, _ := list[2*i+1].(int64)
			if left <= 0 {
				continue
			}
			d, err := decode(id, value, time.Duration(min(left, maxLeft.Milliseconds()))*time.Millisecond)
			if err != nil {
				e.count("decisions_unreadable", 1)
				continue
			}
			out = append(out, d)
		}
	}
	return out, nil
}
