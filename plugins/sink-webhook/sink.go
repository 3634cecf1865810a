package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/plugins/sink-webhook/deliver"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// authorities is the bundle that carries ca_file: the host reads and watches
	// it, and the plugin needs no access to files.
	authorities = "ca"
	maxPEM      = 1 << 20
	// remembered is how many messages that were taken are not sent again in this
	// life when their batch comes once more.
	remembered = 1024
)

// sink sends what it is given before it takes more. It keeps nothing: what waits
// is in the host's journal.
type sink struct {
	cfg      *config
	client   atomic.Pointer[deliver.Client] // nil without a url
	log      hclog.Logger
	count    func(name string, n uint64)
	encode   encoder
	severity event.Severity

	taken [remembered]string // ids, in a ring
	next  int
}

var (
	_ sdk.Sink         = (*sink)(nil)
	_ sdk.Consumer     = (*sink)(nil)
	_ sdk.BundleLoader = (*sink)(nil)
)

func (s *sink) setup(_ context.Context, env sdk.Env) error {
	s.log, s.count = env.Logger, env.Counter
	if s.log == nil {
		s.log = hclog.NewNullLogger()
	}
	if s.count == nil {
		s.count = func(string, uint64) {}
	}
	if s.cfg.URL == "" {
		return nil
	}
	for _, e := range s.cfg.Events {
		if e != alerts && e != actions {
			return fmt.Errorf("events: %q: want alerts or actions", e)
		}
	}
	var known bool
	if s.severity, known = event.ParseSeverity(s.cfg.MinSeverity); !known {
		return fmt.Errorf("min_severity: %q: want informational, low, medium, high or critical", s.cfg.MinSeverity)
	}
	c, err := s.cfg.client()
	if err != nil {
		return err
	}
	c.Failed = func(err error) {
		s.count("attempts_failed", 1)
		s.log.Debug("an attempt failed", "error", err)
	}
	name := s.cfg.Name
	if name == "" {
		name, _ = os.Hostname() // "" where there is none
	}
	s.encode = encoder{host: name, hostID: env.HostID, slack: s.cfg.Format == "slack"}
	client := deliver.New(c)
	if s.cfg.CAFile != "" { // until its bundle comes
		client.Trust(nil, fmt.Errorf("ca_file: %s is not read yet", s.cfg.CAFile))
	}
	s.client.Store(client)
	return nil
}

func (s *sink) health(context.Context) error {
	if client := s.client.Load(); client != nil {
		return client.Health()
	}
	return nil // it was told to send nothing
}

// LoadBundle takes over the certificate authorities of ca_file.
func (s *sink) LoadBundle(_ context.Context, name string, files fs.FS, check bool) (sdk.BundleReport, error) {
	report := sdk.BundleReport{}
	client := s.client.Load()
	if s.cfg.CAFile == "" {
		return report, nil
	}
	pool := x509.NewCertPool()
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() > maxPEM {
			return fmt.Errorf("%s: more than %d bytes", path, maxPEM)
		}
		b, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		report.Files++
		if !pool.AppendCertsFromPEM(b) {
			return fmt.Errorf("ca_file: no certificate in %s", s.cfg.CAFile)
		}
		return nil
	})
	switch {
	case err != nil:
		err = fmt.Errorf("read the bundle %s: %w", name, err)
	case report.Files == 0:
		err = fmt.Errorf("ca_file: %s is not there", s.cfg.CAFile)
	}
	if !check && client != nil {
		client.Trust(pool, err)
		return report, nil // its health says what is wrong, and nothing is sent
	}
	return report, err
}

// Consumes asks for the configured kinds. It needs one: without any it asks for
// alerts, and leaves them out.
func (s *sink) Consumes() []event.Kind {
	var want []event.Kind
	if slices.Contains(s.cfg.Events, alerts) || len(s.cfg.Events) == 0 {
		want = append(want, event.KindAlert)
	}
	if slices.Contains(s.cfg.Events, actions) {
		want = append(want, event.KindAction)
	}
	return want
}

// Write returns when the receiver has taken every event of the batch that is to be
// sent, or when an event was given up, which is counted. An error is that of ctx.
func (s *sink) Write(ctx context.Context, batch sdk.Batch) error {
	client := s.client.Load()
	if client == nil {
		return nil
	}
	if slices.Contains(s.cfg.Events, alerts) {
		for a := range batch.Alerts() {
			if a.Severity < s.severity && s.severity > event.SeverityInfo {
				continue
			}
			if a.SilencedBy != "" && !s.cfg.Silenced {
				s.count("silenced", 1)
				continue
			}
			at := a.ObservedTime
			if at.IsZero() {
				at = a.Time
			}
			if err := s.send(ctx, client, s.encode.alertID(a), at, func() ([]byte, error) { return s.encode.alert(a) }); err != nil {
				return err
			}
		}
	}
	if !slices.Contains(s.cfg.Events, actions) {
		return nil
	}
	for a := range batch.Actions() {
		if len(s.cfg.Actions) > 0 && !slices.Contains(s.cfg.Actions, a.Action) {
			continue
		}
		if err := s.send(ctx, client, s.encode.actionID(a), a.Time, func() ([]byte, error) { return s.encode.action(a) }); err != nil {
			return err
		}
	}
	return nil
}

// send delivers one event that is of a time.
func (s *sink) send(ctx context.Context, client *deliver.Client, id string, at time.Time, body func() ([]byte, error)) error {
	if slices.Contains(s.taken[:], id) {
		s.count("duplicates", 1)
		return nil
	}
	m := deliver.Message{ID: id}
	if s.cfg.MaxAge > 0 && !at.IsZero() {
		m.Deadline = at.Add(s.cfg.MaxAge)
	}
	var err error
	if m.Body, err = body(); err != nil {
		s.count("too_large", 1)
		s.log.Warn("an event is not sent", "delivery", id, "error", err)
		return nil
	}
	err = client.Deliver(ctx, m)
	switch {
	case err == nil:
		s.count("delivered", 1)
	case errors.Is(err, deliver.ErrRefused):
		s.count("refused", 1)
		s.log.Warn("an event is given up", "delivery", id, "error", err)
	case errors.Is(err, deliver.ErrExpired):
		s.count("expired", 1)
		s.log.Warn("an event is given up", "delivery", id, "error", err)
	default:
		return err
	}
	s.taken[s.next] = id
	s.next = (s.next + 1) % remembered
	return nil
}
