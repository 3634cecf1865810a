package roster

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ironpost/ironpost/host/internal/dockerproxy"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/service"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// requests is what a plugin asked of the host and of Docker through it, over all
// its processes.
type requests struct {
	tally service.Tally

	mu     sync.Mutex
	grants []string
	proxy  *dockerproxy.Proxy // nil without a grant
}

// dockerSocket is the socket of one process of a plugin.
type dockerSocket struct{ *dockerproxy.Socket }

// openDocker has the plugin's socket made before its process exists.
func (r *Roster) openDocker(p *plugin, s *launchSpec, granted []string) error {
	if len(granted) == 0 {
		return nil
	}
	proxy, err := r.dockerProxy(p, granted)
	if err != nil {
		return err
	}
	socket := new(dockerSocket)
	s.docker, s.LocalConnect = socket, true
	uid := s.UID
	s.Prepare = func(dir string) (err error) {
		if socket.Socket != nil { // a start that was tried before
			_ = socket.Close()
		}
		socket.Socket, err = proxy.Listen(filepath.Join(dir, dockerproxy.SocketName), uid)
		return err
	}
	return nil
}

// dockerProxy returns the plugin's proxy, a new one when the grants are others.
func (r *Roster) dockerProxy(p *plugin, granted []string) (*dockerproxy.Proxy, error) {
	a := &p.requests
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.proxy != nil && slices.Equal(a.grants, granted) {
		return a.proxy, nil
	}
	grants, err := dockerproxy.ParseGrants(granted)
	if err != nil {
		return nil, err
	}
	if a.proxy != nil {
		a.proxy.Close()
	}
	a.grants = granted
	a.proxy = dockerproxy.New(dockerproxy.Config{Socket: r.config.Plugins.DockerSocket, Grants: grants, Logger: r.logger(p.name(), fromHost)})
	return a.proxy, nil
}

// attend serves the socket of a process until it ends; conn is nil when it did not start.
func (r *Roster) attend(p *plugin, s *launchSpec, conn *link.Conn) {
	if s.docker == nil || s.docker.Socket == nil {
		return
	}
	if conn == nil {
		_ = s.docker.Close()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.attending.Go(func() {
		defer cancel()
		if err := s.docker.Run(ctx); err != nil {
			r.log.Error("a plugin has no Docker socket any more", "plugin", p.name(), "error", err)
		}
	})
	r.attending.Go(func() {
		defer cancel()
		select {
		case <-conn.Done():
		case <-ctx.Done():
		}
	})
}

// counters returns what the host counted of the plugin's calls.
func (a *requests) counters() []*pb.Count {
	var out []*pb.Count
	add := func(name string, value uint64) { out = append(out, &pb.Count{Name: name, Value: value}) }
	if n := a.tally.Calls(); n > 0 {
		add("host.calls", n)
		add("host.calls_refused", a.tally.Refused())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.proxy != nil {
		n := a.proxy.Counts()
		add("docker.calls", n.Admitted)
		add("docker.calls_failed", n.Failed)
		add("docker.calls_refused", n.Refused)
		add("docker.calls_busy", n.Busy)
	}
	return out
}

// validServices refuses grants that the host does not know. What stands for the value
// of a configuration key is looked at when the plugin starts.
func validServices(asked *pb.Permissions) error {
	plain := slices.DeleteFunc(slices.Clone(asked.GetDocker()), func(g string) bool { return strings.HasPrefix(g, "config:") })
	if _, err := dockerproxy.ParseGrants(plain); err != nil {
		return err
	}
	for _, s := range asked.GetServices() {
		if !slices.Contains(service.Services(), s) {
			return fmt.Errorf("service %q: this host has %v", s, service.Services())
		}
	}
	return nil
}
