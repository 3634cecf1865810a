package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ironpost/ironpost/sdk"
)

// page is how many decisions, or changes, are read at once and told in one notice.
const page = 128

// errMissed says that changes may have been missed.
var errMissed = errors.New("changes may have been missed")

// Follow implements sdk.SharedState. It has a connection of its own.
func (e *Engine) Follow(ctx context.Context, tell func(sdk.DecisionNotice) error) error {
	c := redis.NewClient(e.options(1, e.config.Timeout+e.config.Block))
	closed := make(chan struct{})
	unblock := context.AfterFunc(ctx, func() { // a read that waits ends with its connection
		defer close(closed)
		_ = c.Close()
	})
	defer func() {
		if unblock() {
			_ = c.Close()
		} else {
			<-closed
		}
	}()
	for {
		err := e.follow(ctx, c, tell)
		var told *tellError
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errMissed):
			e.count("resyncs", 1)
		case errors.As(err, &told):
			return told.err
		default:
			e.count("follows_ended", 1)
			return fmt.Errorf("follow decisions: %w", e.explain(ctx, err))
		}
	}
}

// tellError is an error of who is told.
type tellError struct{ err error }

func (e *tellError) Error() string { return e.err.Error() }

// follow tells what is in force and then the changes, until it ends or misses something.
func (e *Engine) follow(ctx context.Context, c *redis.Client, tell func(sdk.DecisionNotice) error) error {
	// What changes from here on is told after what is in force.
	at, _, err := e.change(ctx, c, nil, nil)
	if err != nil {
		return err
	}
	inform := func(n sdk.DecisionNotice) error {
		n.Generation = at.generation
		if err := tell(n); err != nil {
			return &tellError{err}
		}
		return nil
	}
	if err := e.snapshot(ctx, c, inform); err != nil {
		return err
	}
	if err := inform(sdk.DecisionNotice{Current: true}); err != nil {
		return err
	}
	for began := time.Now(); time.Since(began) < e.config.Resync; {
		if err := e.next(ctx, c, &at, inform); err != nil {
			return err
		}
	}
	return errMissed
}

// snapshot tells what is in force, by number: what comes and goes meanwhile moves nothing.
func (e *Engine) snapshot(ctx context.Context, c *redis.Client, inform func(sdk.DecisionNotice) error) error {
	for from := "-inf"; ; {
		list, err := c.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{Key: e.fleet("i"), ByScore: true, Start: from, Stop: "+inf", Count: page}).Result()
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return nil
		}
		ids := make([]string, len(list))
		for i, z := range list {
			ids[i], _ = z.Member.(string)
		}
		decisions, err := e.read(ctx, c, ids)
		if err != nil {
			return err
		}
		if len(decisions) > 0 {
			if err := inform(sdk.DecisionNotice{Decisions: decisions}); err != nil {
				return err
			}
		}
		from = "(" + strconv.FormatFloat(list[len(list)-1].Score, 'f', 0, 64)
	}
}

// next waits for changes, and tells them.
func (e *Engine) next(ctx context.Context, c *redis.Client, at *position, inform func(sdk.DecisionNotice) error) error {
	pipe := c.Pipeline()
	standing := pipe.HMGet(ctx, e.fleet("g"), "g", "n")
	changes := pipe.XRead(ctx, &redis.XReadArgs{Streams: []string{e.fleet("s"), strconv.FormatInt(at.number, 10) + "-0"}, Count: page, Block: e.config.Block})
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	now := standing.Val()
	if len(now) != 2 || now[0] != at.generation {
		return errMissed
	}
	text, _ := now[1].(string)
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < at.number {
		return errMissed
	}
	streams := changes.Val()
	if len(streams) == 0 {
		if number > at.number {
			return errMissed
		}
		return nil
	}
	var made, gone []string
	for _, m := range streams[0].Messages {
		at.number++
		if m.ID != strconv.FormatInt(at.number, 10)+"-0" {
			return errMissed
		}
		for what, id := range m.Values {
			switch id, _ := id.(string); {
			case strings.HasPrefix(what, "+"):
				made = append(made, id)
			case strings.HasPrefix(what, "-"):
				gone = append(gone, id)
			}
		}
	}
	decisions, err := e.read(ctx, c, made)
	if err != nil || len(decisions)+len(gone) == 0 {
		return err
	}
	return inform(sdk.DecisionNotice{Decisions: decisions, Removed: gone})
}
