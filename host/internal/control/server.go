package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Limits of the API.
const (
	// MaxRequestBytes bounds a request.
	MaxRequestBytes = 1 << 20
	// MaxResponseBytes bounds an answer, or one message of a stream of them.
	MaxResponseBytes = 16 << 20
	// MaxConnections bounds the connections at a time; further ones wait.
	MaxConnections = 128
	// MaxCalls bounds the calls in flight on one connection; further ones wait.
	MaxCalls = 32
	// MaxTails bounds the tails at a time; further ones get ErrBusy.
	MaxTails = 16
	// MaxQuery bounds the events that one query asks for.
	MaxQuery = 100_000
	// MaxPage bounds the entries of one page of a list.
	MaxPage = 10_000
)

// shutdownTimeout bounds how long Run waits for calls in flight.
const shutdownTimeout = 5 * time.Second

// defaultTailBytes is what a tail may hold for a slow reader by default.
const defaultTailBytes = 4 << 20

// Config is what a Server needs.
type Config struct {
	// Socket is the path to listen on; see DefaultSocket.
	Socket string
	// Group is the control group, usually DefaultGroup. With none (""), or with
	// one that does not exist, which the log tells, root and the host's own
	// user remain.
	Group   string
	Backend Backend
	// Audit is called for every attempt to change something, from many
	// goroutines, before the caller has its answer. nil drops the entries.
	Audit func(Change)
	// Logger may be nil.
	Logger hclog.Logger
	// TailBytes bounds what waits for a slow reader of events; 0 is 4 MiB.
	TailBytes int
}

// Server answers on the control socket.
type Server struct {
	config   Config
	listener *net.UnixListener
	lock     *os.File
	grpc     *grpc.Server
	log      hclog.Logger
	actions  map[string]string
	readers  map[string]bool
	uid      uint32
	gid      uint32
	hasGroup bool

	quit      chan struct{} // closed when Run or Close begins to stop
	closeOnce sync.Once
	closeErr  error
	tails     atomic.Int32
	dropped   atomic.Uint64
	importing chan struct{} // holds a token while an import is under way
}

// Listen binds the socket with mode 0660, owned by the control group, creating
// its directory if need be. The socket of a host that is gone is replaced; when
// a host answers there the error wraps ErrInUse. A path that cannot be the path
// of a socket wraps ErrInvalid. Callers wait until Run. ctx bounds the binding
// alone.
func Listen(ctx context.Context, config Config) (*Server, error) {
	if config.TailBytes <= 0 {
		config.TailBytes = defaultTailBytes
	}
	s := &Server{
		config: config, log: config.Logger, quit: make(chan struct{}), importing: make(chan struct{}, 1),
		actions: actions(), readers: readers(), uid: uint32(max(os.Geteuid(), 0)),
	}
	if s.log == nil {
		s.log = hclog.NewNullLogger()
	}
	if err := checkPath(config.Socket); err != nil {
		return nil, err
	}
	if err := s.bind(ctx); err != nil {
		return nil, fmt.Errorf("listen on the control socket %s: %w", config.Socket, err)
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(peerCredentials{}),
		grpc.ForceServerCodecV2(ironpostv1.Codec{Pool: new(ironpostv1.Pool)}),
		grpc.MaxRecvMsgSize(MaxRequestBytes),
		grpc.MaxSendMsgSize(MaxResponseBytes),
		grpc.MaxConcurrentStreams(MaxCalls),
		grpc.ConnectionTimeout(5*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 10 * time.Minute}),
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
	)
	ironpostv1.RegisterControlServer(s.grpc, &handlers{server: s, Backend: config.Backend})
	return s, nil
}

func (s *Server) bind(ctx context.Context) (err error) {
	path := s.config.Socket
	if err := prepareDir(filepath.Dir(path), int(s.uid)); err != nil {
		return err
	}
	s.lock, err = lock(path + ".lock")
	if errors.Is(err, errLocked) {
		return fmt.Errorf("%w: it holds %s.lock", ErrInUse, path)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.lock.Close()
		}
	}()
	if err := removeStale(ctx, path); err != nil {
		return err
	}
	s.listener, err = listenPrivate(ctx, path)
	if err != nil {
		return err
	}
	s.gid, s.hasGroup = groupID(s.config.Group)
	if s.hasGroup {
		if err := os.Chown(path, -1, int(s.gid)); err != nil {
			s.log.Warn("control socket stays with the group of its owner", "group", s.config.Group, "error", err)
		}
	} else if s.config.Group != "" {
		s.log.Debug("no such group: only root and the user of the host may use the control socket", "group", s.config.Group)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		_ = s.listener.Close()
		return err
	}
	return nil
}

// Run answers until ctx ends; then it ends the tails, lets the calls in flight
// finish for 5 s at most, and removes the socket. It returns nil after a stop
// by ctx or Close, and closes the server in every case.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(limited(s.listener, MaxConnections, s.quit)) }()
	var err error
	select {
	case err = <-served:
	case <-s.quit:
		err = <-served
	case <-ctx.Done():
		_ = s.Close()
		err = <-served
	}
	select {
	case <-s.quit: // closed on purpose, also before it began to serve
		err = nil
	default:
	}
	if errors.Is(err, grpc.ErrServerStopped) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("serve the control socket: %w", err)
	}
	return errors.Join(err, s.Close())
}

// Close stops the server as the end of Run's ctx does. It may be called more
// than once, and before Run.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		close(s.quit)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			s.grpc.GracefulStop()
		}()
		timer := time.NewTimer(shutdownTimeout)
		defer timer.Stop()
		select {
		case <-stopped:
		case <-timer.C:
			s.grpc.Stop()
			<-stopped
		}
		if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.closeErr = err
		}
		s.closeErr = errors.Join(s.closeErr, s.lock.Close())
	})
	return s.closeErr
}

// Socket returns the path that the server listens on.
func (s *Server) Socket() string { return s.config.Socket }

// TailDropped returns how many records slow readers have lost since the start.
func (s *Server) TailDropped() uint64 { return s.dropped.Load() }
