package engine

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ironpost/ironpost/sdk"
)

// farthest is the time, in microseconds from 1970, that a number holds exactly.
const farthest = int64(1) << 52

// Apply implements sdk.SharedState: one round trip for all operations.
func (e *Engine) Apply(ctx context.Context, ops []sdk.SharedOperation) ([]sdk.SharedResult, error) {
	began := time.Now()
	out, err := e.apply(ctx, ops)
	if err = e.done(ctx, began, fmt.Sprintf("count %d", len(ops)), err); err != nil {
		return nil, err
	}
	e.count("operations", uint64(len(ops)))
	return out, nil
}

func (e *Engine) apply(ctx context.Context, ops []sdk.SharedOperation) ([]sdk.SharedResult, error) {
	out := make([]sdk.SharedResult, len(ops))
	if len(ops) == 0 {
		return out, ctx.Err()
	}
	pipe := e.client.Pipeline()
	cmds := make([]redis.Cmder, len(ops))
	for i := range ops {
		cmds[i] = e.operation(ctx, pipe, &ops[i])
	}
	err := exec(ctx, pipe, cmds)
	if err == nil {
		err = e.again(ctx, ops, cmds)
	}
	if err != nil {
		return nil, err
	}
	for i := range ops {
		if out[i], err = result(&ops[i], cmds[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// again has those operations carried out that the server did not know the function of:
// it did nothing for them, and others may have given it the functions meanwhile.
func (e *Engine) again(ctx context.Context, ops []sdk.SharedOperation, cmds []redis.Cmder) error {
	var pipe redis.Pipeliner
	var again []redis.Cmder
	for i, cmd := range cmds {
		if !unknownFunction(cmd.Err()) {
			continue
		}
		if pipe == nil {
			if err := e.load(ctx, e.client); err != nil {
				return err
			}
			pipe = e.client.Pipeline()
		}
		cmds[i] = e.operation(ctx, pipe, &ops[i])
		again = append(again, cmds[i])
	}
	if pipe == nil {
		return nil
	}
	return exec(ctx, pipe, again)
}

// exec sends what is in a pipeline. Its error is that of the connection: where that could
// not be made, the commands have none.
func exec(ctx context.Context, pipe redis.Pipeliner, cmds []redis.Cmder) error {
	_, err := pipe.Exec(ctx)
	for _, cmd := range cmds {
		if cmd.Err() != nil {
			return nil // they have their own
		}
	}
	return err
}

// operation puts one into the pipeline.
func (e *Engine) operation(ctx context.Context, pipe redis.Pipeliner, op *sdk.SharedOperation) redis.Cmder {
	key := e.key(op.Key)
	switch {
	case op.Window != nil:
		w := op.Window
		keys := []string{key + "m", key + "p", key + "v", key + "q"}
		counted := "0"
		if w.Counted {
			counted = "1"
		}
		at := max(-farthest, min(w.Time.UnixMicro(), farthest))
		return pipe.FCall(ctx, windowFunction, keys, at, op.Span.Microseconds(), w.Threshold, w.ID, w.Value, counted, w.Quiet.Microseconds())
	case op.Counter != nil:
		return pipe.FCall(ctx, countFunction, []string{key + "n"}, op.Counter.Amount, op.Span.Microseconds())
	default:
		return pipe.Do(ctx, "SET", key+"c", op.Claim.Owner, "NX", "GET", "PX", max(op.Span.Milliseconds(), 1))
	}
}

// key begins the keys of what is counted under a name: they have one hash tag, and do not
// show what the name says.
func (e *Engine) key(name string) string {
	sum := sha256.Sum256([]byte(name))
	return e.config.Prefix + ":{" + base64.RawURLEncoding.EncodeToString(sum[:16]) + "}:"
}

// result reads what came of an operation.
func result(op *sdk.SharedOperation, cmd redis.Cmder) (sdk.SharedResult, error) {
	c := cmd.(*redis.Cmd) //nolint:forcetypeassert // operation makes no others
	value, err := c.Result()
	switch {
	case op.Claim != nil:
		if errors.Is(err, redis.Nil) { // nobody had it
			return sdk.SharedResult{Done: true}, nil
		}
		owner, _ := value.(string)
		return sdk.SharedResult{Done: err == nil && owner == string(op.Claim.Owner)}, err
	case err != nil:
		return sdk.SharedResult{}, err
	case op.Counter != nil:
		n, ok := value.(int64)
		if !ok || n < 0 {
			return sdk.SharedResult{}, fmt.Errorf("%s answers %v", countFunction, value)
		}
		return sdk.SharedResult{Count: uint64(n), Done: uint64(n) <= op.Counter.Limit}, nil
	}
	list, ok := value.([]any)
	if !ok || len(list) != 2 {
		return sdk.SharedResult{}, fmt.Errorf("%s answers %v", windowFunction, value)
	}
	count, ok := list[0].(int64)
	if !ok || count < 0 {
		return sdk.SharedResult{}, fmt.Errorf("%s answers %v", windowFunction, strconv.Quote(fmt.Sprint(value)))
	}
	return sdk.SharedResult{Count: uint64(count), Done: list[1] == int64(1)}, nil
}
