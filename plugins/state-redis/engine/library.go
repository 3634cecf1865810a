package engine

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Library is the text of the functions, for FUNCTION LOAD.
//
//go:embed ironpost.lua
var Library string

// The functions of the library.
const (
	windowFunction = "ironpost_v1_window"
	countFunction  = "ironpost_v1_count"
	shareFunction  = "ironpost_v1_share"
	readFunction   = "ironpost_v1_read"
)

// unknownFunction reports whether the server did not know a function, and so did nothing.
func unknownFunction(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "ERR Function not found")
}

// load gives the server the functions. Another host may have done so meanwhile.
func (e *Engine) load(ctx context.Context, c *redis.Client) error {
	err := c.FunctionLoad(ctx, Library).Err()
	if err == nil {
		e.count("libraries_loaded", 1)
		return nil
	}
	if strings.Contains(err.Error(), "already exists") {
		return nil
	}
	return fmt.Errorf("load the functions: %w", err)
}

// call calls one function, and loads it where it is missing.
func (e *Engine) call(ctx context.Context, c *redis.Client, function string, keys []string, args ...any) *redis.Cmd {
	cmd := c.FCall(ctx, function, keys, args...)
	if !unknownFunction(cmd.Err()) {
		return cmd
	}
	if err := e.load(ctx, c); err != nil {
		cmd.SetErr(err)
		return cmd
	}
	return c.FCall(ctx, function, keys, args...)
}
