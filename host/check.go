package host

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ironpost/ironpost/host/internal/config"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ConfigProblem is one thing that is wrong with a configuration.
type ConfigProblem struct {
	Origin, File           string
	Line                   int
	Key                    string
	Problem, Allowed, Hint string
	Warning                bool
}

// load reads the configuration as a host would, with the sections of the
// plugins that lie in the directories.
func (s Sources) load(ctx context.Context, strict bool) (*config.Config, error) {
	o, err := openOffline(ctx, offlineConfig{Sources: s, stderr: io.Discard, lenient: true})
	if err != nil {
		return nil, err
	}
	defer o.close(ctx)
	options := s.options()
	options.Known, options.Strict = o.roster.Sections(), strict
	return config.Load(options)
}

// ValidateConfig checks the configuration strictly and returns the file that
// was read, "" when there is none, and what is wrong.
func ValidateConfig(ctx context.Context, s Sources) (file string, problems []ConfigProblem, err error) {
	_, err = s.load(ctx, true)
	var found config.Problems
	if err != nil && !errors.As(err, &found) {
		return "", nil, err
	}
	for _, p := range found {
		problems = append(problems, ConfigProblem{
			Origin: p.Origin.String(), File: p.Origin.File, Line: p.Origin.Line, Key: p.Key,
			Problem: p.Message, Allowed: p.Allowed, Hint: p.Hint, Warning: p.Warning,
		})
	}
	if o := s.options(); !o.Optional || exists(o.File) {
		file = o.File
	}
	return file, problems, nil
}

// ShowConfig returns the configuration that a host would start with.
func ShowConfig(ctx context.Context, s Sources) ([]*pb.ConfigValue, error) {
	c, err := s.load(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return configValues(c), nil
}

// ControlSocket returns the socket that the configuration names.
func ControlSocket(s Sources) (string, error) {
	c, err := config.Load(s.options())
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return c.Host().Control.Socket, nil
}
