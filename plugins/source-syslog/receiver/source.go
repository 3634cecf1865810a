package receiver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// Source receives syslog. It implements sdk.LogSource.
type Source struct {
	config    *Config
	log       hclog.Logger
	counter   func(string, uint64)
	listeners map[string]sdk.Listener
	secrets   credentials
}

// New returns a Source with the configuration that config holds when Setup is
// called; config must not change afterwards.
func New(config *Config) *Source {
	return &Source{
		config: config, log: hclog.NewNullLogger(), counter: func(string, uint64) {},
		secrets: credentials{config: config},
	}
}

// Setup checks the configuration and takes over the sockets, logger and
// counters.
func (s *Source) Setup(_ context.Context, env sdk.Env) error {
	if env.Logger != nil {
		s.log = env.Logger
	}
	if env.Counter != nil {
		s.counter = env.Counter
	}
	s.listeners = env.Listeners
	return s.config.Validate()
}

// Run receives on all sockets until ctx is done. It closes them before it
// returns.
func (s *Source) Run(ctx context.Context, out sdk.Emitter) error {
	group, ctx := errgroup.WithContext(ctx)
	clients := newLimiter(s.config.MaxClients, s.config.MaxClientsPerAddress)
	for _, address := range s.config.Listen {
		switch l := s.listeners[address]; {
		case l.Packet != nil:
			u := &udp{source: s, address: address, conn: l.Packet, out: out}
			group.Go(func() error { return u.run(ctx) })
		case l.Stream != nil:
			t := &tcp{source: s, address: address, listener: l.Stream, out: out, clients: clients, tls: strings.HasPrefix(address, "tls:")}
			group.Go(func() error { return t.run(ctx) })
		}
	}
	group.Go(func() error {
		<-ctx.Done()
		return nil
	})
	return group.Wait()
}

// Health says when nothing is received, and why.
func (s *Source) Health(context.Context) error {
	if len(s.config.Listen) == 0 {
		return errors.New(`nothing to listen on; set listen = ["udp://127.0.0.1:514"] or the like in [source_syslog]`)
	}
	var missing []string
	for _, address := range s.config.Listen {
		if l := s.listeners[address]; l.Packet == nil && l.Stream == nil {
			missing = append(missing, address)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("not listening on %s: the host passed no socket; grant it with `ironpost plugin enable source-syslog`, and see that the address is free",
			strings.Join(missing, ", "))
	}
	if slices.ContainsFunc(s.config.Listen, func(a string) bool { return strings.HasPrefix(a, "tls:") }) {
		return s.secrets.health()
	}
	return nil
}

// LoadBundle takes over certificates and keys; see Bundles.
func (s *Source) LoadBundle(_ context.Context, name string, files fs.FS, check bool) (sdk.BundleReport, error) {
	return s.secrets.put(name, files, check)
}

// open opens the stream of a sender; the zero address stands for senders that
// have none of their own, and name is that of its certificate, if it has one.
func (s *Source) open(out sdk.Emitter, listener string, peer netip.Addr, name string) (sdk.Stream, error) {
	config := sdk.StreamConfig{
		Name:       listener,
		Format:     s.config.Format,
		Provenance: event.ProvenanceNetwork,
		TimeZone:   s.config.TimeZone,
	}
	if peer.IsValid() {
		config.Name += " " + peer.String()
		config.Peer = peer.String()
		if strings.HasPrefix(listener, "udp") {
			// The sender of a datagram may be forged: the host must not take it
			// for an address that can be answered.
			config.Peer = "udp:" + config.Peer
		}
	}
	if name != "" {
		config.Name += " " + name
	}
	stream, err := out.Open(config)
	if err != nil {
		return nil, fmt.Errorf("open the stream %s: %w", config.Name, err)
	}
	return stream, nil
}
