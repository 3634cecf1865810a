package containers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/docker"
)

// listTimeout is how long listing may take.
const listTimeout = time.Minute

// Calls are the calls of Docker's API that this package makes. "settings" is
// inspecting a container without its environment and the secrets in it.
func Calls() []string {
	return []string{"GET /containers/json", "settings", "GET /containers/*/logs", "GET /events"}
}

// api calls Docker. It is safe for concurrent use.
type api struct{ *docker.Client }

// newAPI returns an api on the Unix socket at path.
func newAPI(path string) *api { return &api{docker.New(path)} }

// container is what Docker lists of one.
type container struct {
	ID     string `json:"Id"`
	Names  []string
	Image  string
	Labels map[string]string
	State  string
	// Command is what the container runs, with its arguments.
	Command string
}

// name is the container's own name; others are links.
func (c *container) name() string {
	for _, n := range c.Names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}

func (c *container) running() bool { return c.State == "running" || c.State == "paused" }

// list returns all containers, running or not.
func (a *api) list(ctx context.Context) ([]container, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var out []container
	if err := a.Read(ctx, "/containers/json", url.Values{"all": {"1"}}, &out); err != nil {
		return nil, fmt.Errorf("list the containers: %w", err)
	}
	return out, nil
}

// logs begins the lines of a container that are stamped at since or later.
func (a *api) logs(ctx context.Context, id string, since int64, follow bool) (io.ReadCloser, error) {
	query := url.Values{"stdout": {"1"}, "stderr": {"1"}, "timestamps": {"1"}}
	if since > 0 {
		query.Set("since", docker.Stamp(since))
	}
	if follow {
		query.Set("follow", "1")
	}
	body, err := a.Get(ctx, "/containers/"+id+"/logs", query)
	if err != nil {
		return nil, fmt.Errorf("read the output of %.12s: %w", id, err)
	}
	return body, nil
}

// permanent reports whether asking again is of no use until the container is
// started anew: its output goes where Docker cannot read it.
func permanent(err error) bool {
	e, ok := errors.AsType[*docker.StatusError](err)
	return ok && e.Code != http.StatusNotFound && strings.Contains(e.Message, "does not support reading")
}
