package evidence

import (
	"context"
	"encoding/json"
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

// gather asks Docker for everything, at once, and returns what it got.
func (s *Store) gather(ctx context.Context, docker *engine.Engine, id string, i *incident) map[string][]byte {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	files := map[string][]byte{}
	var mu sync.Mutex
	var all sync.WaitGroup
	get := func(name string, from func() ([]byte, error)) {
		all.Go(func() {
			data, err := from()
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
		})
	}
	get("inspect.json", func() ([]byte, error) { return docker.Details(ctx, id) })
	get("top.json", func() ([]byte, error) { return docker.Top(ctx, id) })
	get("logs.bin", func() ([]byte, error) { return docker.Logs(ctx, id, s.config.Tail, MaxFile+1) })
	get("changes.json", func() ([]byte, error) { return docker.Changes(ctx, id) })
	get("stats.json", func() ([]byte, error) { return docker.Stats(ctx, id) })
	get("networks.json", func() ([]byte, error) { return networks(ctx, docker, id) })
	all.Wait()
	return files
}

// maxNetworks bounds the networks that are looked at.
const maxNetworks = 32

// networks shows how a container is attached, and the networks.
func networks(ctx context.Context, docker *engine.Engine, id string) ([]byte, error) {
	c, err := docker.Inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	v := struct {
		Mode      string            `json:"mode"`
		Endpoints []engine.Endpoint `json:"endpoints"`
		Networks  []engine.Network  `json:"networks"`
	}{Mode: c.NetworkMode, Endpoints: c.Endpoints, Networks: []engine.Network{}}
	for _, p := range c.Endpoints[:min(len(c.Endpoints), maxNetworks)] {
		n, err := docker.Network(ctx, p.Network)
		if err != nil {
			return nil, err
		}
		v.Networks = append(v.Networks, n)
	}
	return json.Marshal(v)
}
