package evidence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
)

// incident is incident.json.
type incident struct {
	ID        string            `json:"id"`
	AlertID   string            `json:"alert_id"`
	TraceID   string            `json:"trace_id"`
	Container string            `json:"container"`
	Reason    string            `json:"reason"`
	Details   map[string]string `json:"details"`
	Begun     time.Time         `json:"begun"`
	Ended     time.Time         `json:"ended"`
	Missing   map[string]string `json:"missing"`
	// Cut names the files of which the end was left out, CutBecause says why.
	Cut        []string          `json:"cut"`
	CutBecause map[string]string `json:"cut_because"`
}

func (i *incident) cut(name, why string) {
	i.Cut = append(i.Cut, name)
	i.CutBecause[name] = why
}

// gather asks Docker for everything, at once, and returns what it got. What is missing
// or cut off it says in i.
func (s *Store) gather(ctx context.Context, docker *engine.Engine, id string, i *incident) map[string][]byte {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	files := map[string][]byte{}
	var mu sync.Mutex
	var all sync.WaitGroup
	put := func(name string, data []byte, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			i.Missing[name] = bounded(err.Error())
			return
		}
		if len(data) > MaxFile {
			data = data[:MaxFile]
			i.cut(name, fmt.Sprintf("there are more than %d bytes", MaxFile))
		}
		files[name] = data
	}
	get := func(name string, from func() ([]byte, error)) {
		all.Go(func() {
			data, err := from()
			put(name, data, err)
		})
	}
	get("stats.json", func() ([]byte, error) { return docker.Stats(ctx, id) })
	all.Go(func() {
		c, details, err := docker.Details(ctx, id)
		put("inspect.json", details, err)
		var attached []byte
		if err == nil {
			attached, err = networks(ctx, docker, &c)
		}
		put("networks.json", attached, err)
	})
	get("logs.bin", func() ([]byte, error) { return docker.Logs(ctx, id, s.config.Tail, MaxFile+1) })
	get("changes.json", func() ([]byte, error) { return docker.Changes(ctx, id) })
	// Docker starts two programs for it, which takes longest. A goroutine that is made
	// last is run first.
	get("top.json", func() ([]byte, error) { return docker.Top(ctx, id) })
	all.Wait()
	return files
}

// maxNetworks bounds the networks that are looked at.
const maxNetworks = 32

// networks shows how a container is attached, and the networks.
func networks(ctx context.Context, docker *engine.Engine, c *engine.Container) ([]byte, error) {
	on := c.Endpoints[:min(len(c.Endpoints), maxNetworks)]
	v := struct {
		Mode      string            `json:"mode"`
		Endpoints []engine.Endpoint `json:"endpoints"`
		Networks  []engine.Network  `json:"networks"`
	}{Mode: c.NetworkMode, Endpoints: c.Endpoints, Networks: make([]engine.Network, len(on))}
	errs := make([]error, len(on))
	var all sync.WaitGroup
	for i := range on {
		all.Go(func() { v.Networks[i], errs[i] = docker.Network(ctx, on[i].Network) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
