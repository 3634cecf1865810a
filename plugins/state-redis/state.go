package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/ironpost/ironpost/plugins/state-redis/engine"
	"github.com/ironpost/ironpost/sdk"
)

const (
	// authorities is the bundle that carries ca_file: the host reads and watches it, and
	// the plugin needs no access to files.
	authorities = "ca"
	maxPEM      = 1 << 20
)

// errNowhere says that no server was named.
var errNowhere = fmt.Errorf("%w: address is not set in [state_redis]", sdk.ErrUnreachable)

// state is the plugin. Its engine is set by setup.
type state struct {
	cfg    *config
	engine *engine.Engine // nil without an address

	mu    sync.Mutex
	tls   *tls.Config // nil without
	cause error       // why the authorities cannot be trusted
}

var (
	_ sdk.SharedState  = (*state)(nil)
	_ sdk.BundleLoader = (*state)(nil)
)

func (s *state) setup(_ context.Context, env sdk.Env) error {
	if s.cfg.Address == "" {
		return nil
	}
	c, err := s.cfg.engine()
	if err != nil {
		return err
	}
	c.Count = env.Counter
	if s.cfg.TLS == "on" {
		if s.tls, err = s.cfg.tls(c.Address); err != nil {
			return err
		}
		if s.cfg.CAFile != "" { // until its bundle comes
			s.cause = fmt.Errorf("ca_file: %s is not read yet", s.cfg.CAFile)
		}
		c.TLS = s.security
	}
	s.engine = engine.New(c)
	return nil
}

// security is how the next connection is encrypted.
func (s *state) security() (*tls.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tls, s.cause
}

func (s *state) health(ctx context.Context) error {
	if s.engine == nil {
		return nil // it was told to reach nothing
	}
	return s.engine.Health(ctx)
}

// Apply implements sdk.SharedState.
func (s *state) Apply(ctx context.Context, ops []sdk.SharedOperation) ([]sdk.SharedResult, error) {
	if s.engine == nil {
		return nil, errNowhere
	}
	return s.engine.Apply(ctx, ops)
}

// Share implements sdk.SharedState.
func (s *state) Share(ctx context.Context, decisions []sdk.Decision, removed []string) ([]string, error) {
	if s.engine == nil {
		return nil, errNowhere
	}
	return s.engine.Share(ctx, decisions, removed)
}

// Follow implements sdk.SharedState.
func (s *state) Follow(ctx context.Context, tell func(sdk.DecisionNotice) error) error {
	if s.engine == nil {
		return errNowhere
	}
	return s.engine.Follow(ctx, tell)
}

// LoadBundle takes over the certificate authorities of ca_file.
func (s *state) LoadBundle(_ context.Context, name string, files fs.FS, check bool) (sdk.BundleReport, error) {
	if s.cfg.CAFile == "" {
		return sdk.BundleReport{}, nil
	}
	pool, n, err := roots(files)
	if err != nil {
		err = fmt.Errorf("read the bundle %s: ca_file %s: %w", name, s.cfg.CAFile, err)
	}
	if check {
		return sdk.BundleReport{Files: n}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause = err; err == nil && s.tls != nil {
		s.tls = s.tls.Clone()
		s.tls.RootCAs = pool
	}
	return sdk.BundleReport{Files: n}, nil // its health says what is wrong
}

// roots reads certificates.
func roots(files fs.FS) (pool *x509.CertPool, n int, err error) {
	pool = x509.NewCertPool()
	err = fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() > maxPEM {
			return fmt.Errorf("more than %d bytes", maxPEM)
		}
		b, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		n++
		if !pool.AppendCertsFromPEM(b) {
			return errors.New("no certificate in it")
		}
		return nil
	})
	if err == nil && n == 0 {
		err = errors.New("it is not there")
	}
	return pool, n, err
}
