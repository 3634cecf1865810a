package roster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/supervise"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// rate turns a counter into events per second between two looks.
type rate struct {
	mu    sync.Mutex
	at    time.Time
	count uint64
	value float64
}

// rateWindow is the shortest time over which a rate is computed.
const rateWindow = time.Second

func (r *rate) per(count uint64, now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := now.Sub(r.at); r.at.IsZero() || d >= rateWindow {
		if !r.at.IsZero() && count >= r.count {
			r.value = float64(count-r.count) / d.Seconds()
		}
		r.at, r.count = now, count
	}
	return r.value
}

// List returns every candidate, sorted by name.
func (r *Roster) List() []*pb.PluginStatus {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]*pb.PluginStatus, 0, len(r.plugins))
	for _, p := range r.plugins {
		out = append(out, p.status())
	}
	slices.SortStableFunc(out, func(a, b *pb.PluginStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// status describes the plugin as it is now.
func (p *plugin) status() *pb.PluginStatus {
	s := &pb.PluginStatus{
		Name: p.name(), Kinds: p.desc.GetKinds(), Version: p.desc.GetVersion(), Api: p.desc.GetApi(),
		Enabled: p.decision.State == catalog.Enabled, State: string(p.decision.State), Health: "unknown",
		Trust: string(p.decision.Trust), Sha256: p.digest,
	}
	if f := p.decision.Refusal; f != nil {
		s.Code, s.LastError = string(f.Code), f.Observed
	}
	if p.supervisor == nil {
		if p.decision.State == catalog.Enabled {
			s.State = string(supervise.Starting) // it is about to be
		}
		return s
	}
	run := p.supervisor.Status()
	if p.decision.State == catalog.Enabled {
		s.State = string(run.State)
		s.Health = run.Health
		s.LastError = run.LastError
		if run.State == supervise.Failed {
			s.Code = string(catalog.KeepsFailing)
		}
	}
	s.Restarts, s.Pid = run.Restarts, uint32(run.PID)
	s.RssBytes, s.CpuSeconds = uint64(run.Usage.RSS), run.CPU.Seconds()
	s.HeapObjectsAllocated = run.HeapObjects
	if !run.Started.IsZero() {
		s.UptimeSeconds = time.Since(run.Started).Seconds()
	}
	s.Events, s.Bytes, s.Alerts = p.member.Events.Load(), p.member.Bytes.Load(), p.member.Alerts.Load()
	s.EventsPerSecond = p.rate.per(s.Events, time.Now())
	s.Dropped, s.LogLinesDropped = p.member.Dropped.Load(), p.log.leftOut.Load()
	return s
}

// find returns the plugin of a name or file name: the one that runs, or else
// the first candidate. r.mu is held.
func (r *Roster) find(name string) *plugin {
	var found *plugin
	for _, p := range r.plugins {
		if p.name() != name && p.file != name {
			continue
		}
		if found == nil || found.decision.State == catalog.Refused && p.decision.State != catalog.Refused {
			found = p
		}
		if p.supervisor != nil {
			return p
		}
	}
	return found
}

// faultOf returns why the plugin does not run, nil when nothing is wrong: the
// refusal, or that it keeps failing.
func (p *plugin) faultOf(s *pb.PluginStatus) *catalog.Refusal {
	if s.Code == string(catalog.KeepsFailing) {
		return catalog.NewRefusal(catalog.KeepsFailing, s.LastError, "a start that gets something done", "ironpost plugin reload "+catalog.Quote(p.name()))
	}
	return p.decision.Refusal
}

// Info returns everything about one plugin.
func (r *Roster) Info(ctx context.Context, name string) (*pb.PluginInfoResponse, error) {
	r.mu.RLock()
	p := r.find(name)
	if p == nil {
		r.mu.RUnlock()
		return nil, fmt.Errorf("%w: %s; ironpost plugin list shows them all", ErrNotFound, name)
	}
	info := &pb.PluginInfoResponse{Status: p.status(), Description: p.desc, Path: p.path, Signature: p.signing.String()}
	if f := p.faultOf(info.Status); f != nil {
		info.Rule, info.Observed, info.Wanted, info.Mend = f.Rule, f.Observed, f.Wanted, f.Mend
	} else if p.decision.Reason != "" {
		info.Observed = p.decision.Reason
	}
	supervisor := p.supervisor
	r.mu.RUnlock()
	r.showGrant(info, p)
	if supervisor == nil {
		return info, nil
	}
	report := supervisor.Status().Report
	for _, a := range report.Applied {
		info.Confinement = append(info.Confinement, string(a))
	}
	for _, m := range slices.Concat(report.Missing, report.Absent) {
		info.Unenforced = append(info.Unenforced, fmt.Sprintf("%s: %s", m.What, m.Why))
	}
	info.Counters = p.requests.counters()
	if conn := supervisor.Conn(); conn != nil {
		if counters, err := conn.Metrics(ctx); err == nil {
			info.Counters = append(info.Counters, counters...)
		}
	}
	return info, nil
}
