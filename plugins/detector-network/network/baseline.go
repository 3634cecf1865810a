package network

import (
	"math"
	"math/bits"
	"time"
)

// metric is what a baseline learns.
type metric uint8

const (
	metricSYN        metric = iota // unanswered SYN a second to one destination, in one interval
	metricSlow                     // the same over Config.SlowFloodWindow
	metricUDP                      // small datagrams a second to one destination
	metricICMP                     // messages a second to one destination
	metricReflection               // bytes a second of large reflected datagrams to one address
	metricLogin                    // short connections of one source within Config.LoginWindow
	metricDatabase                 // likewise
	metricLogins                   // short connections of all sources to one destination within Config.LoginWindow
	metricDatabases                // likewise
	metrics
)

const (
	// learned is how many minutes a metric has to be seen before its bound
	// leaves the floor.
	learned = 30
	// halfLife is in minutes: how soon what was usual is forgotten.
	halfLife = 6 * 60
	// usual is the quantile of the peaks of minutes that counts as usual: one
	// odd minute in twenty changes nothing.
	usual = 0.95
	// settling is how long after the first summary of an interface logins have
	// ten times their bound, so that the programs that log in all day are
	// learned before they are judged.
	settling = 35 * time.Minute
	// crowd is how many times the connections of one source those of all sources
	// together may be.
	crowd = 5
	// maxInterfaces bounds the baselines; the one unused for longest goes.
	maxInterfaces = 64
)

// buckets are quarters of powers of two, up to 2^40.
const buckets = 160

// histogram holds the decayed number of minutes by their peak.
type histogram [buckets]float32

func bucket(v uint64) int {
	if v < 4 {
		return int(v)
	}
	n := bits.Len64(v)
	return min(4*(n-2)+int(v>>(n-3)&3), buckets-1)
}

// edge is the greatest value of a bucket.
func edge(i int) uint64 {
	if i < 4 {
		return uint64(i)
	}
	n := i/4 + 2
	return (4+uint64(i%4)+1)<<(n-3) - 1
}

func (h *histogram) add(v uint64) {
	for i := range h {
		if h[i] *= decay; h[i] < 1e-6 {
			h[i] = 0
		}
	}
	h[bucket(v)]++
}

// decay is 2^(-1/halfLife).
const decay = 0.998076401

// quantile returns the value that the given share of the minutes does not pass;
// false when too few are known.
func (h *histogram) quantile(share float64) (uint64, bool) {
	var total float64
	for _, n := range h {
		total += float64(n)
	}
	if total < learned*0.9 {
		return 0, false
	}
	var sum float64
	for i, n := range h {
		if sum += float64(n); sum >= share*total {
			return edge(i), true
		}
	}
	return edge(buckets - 1), true
}

// baseline is what one interface usually sees: of each metric the peak of every
// minute. A minute in which the bound was reached, and the one after it, teaches
// nothing, so that an attack does not become usual.
type baseline struct {
	name   string
	first  int64 // time of the first summary, UTC nanoseconds
	minute int64 // the one being observed
	peak   [metrics]uint64
	frozen [metrics]int64 // up to and with this minute
	seen   [metrics]histogram

	// Derived from seen, at the end of every minute.
	usual [metrics]uint64
	bound [metrics]uint64

	hour      int64  // since 1970, in which listeners were counted
	listeners uint64 // new listeners in this hour

	used  int64
	saved bool
	dirty bool
}

// floor is the least bound of a metric.
func (c *Config) floor(m metric) uint64 {
	switch m {
	case metricSYN:
		return uint64(c.FloodRate)
	case metricSlow:
		return uint64(c.SlowFloodRate)
	case metricUDP:
		return uint64(c.UDPFloodRate)
	case metricICMP:
		return uint64(c.ICMPFloodRate)
	case metricReflection:
		return uint64(c.AmplificationRate)
	case metricLogin:
		return uint64(c.LoginRate)
	case metricDatabase:
		return uint64(c.DatabaseRate)
	case metricLogins:
		return crowd * uint64(c.LoginRate)
	default:
		return crowd * uint64(c.DatabaseRate)
	}
}

// derive sets the bounds.
func (b *baseline) derive(cfg *Config) {
	for m := range metrics {
		floor := cfg.floor(m)
		b.usual[m], b.bound[m] = 0, floor
		if q, ok := b.seen[m].quantile(usual); ok {
			b.usual[m] = q
			b.bound[m] = min(max(floor, uint64(cfg.BaselineFactor)*q), floor*uint64(cfg.BaselineCap))
		}
	}
}

// turn ends the minute when now lies past it.
func (b *baseline) turn(cfg *Config, now int64) {
	minute := now / int64(time.Minute)
	if minute == b.minute {
		return
	}
	if minute < b.minute {
		if b.minute-minute > halfLife { // the clock was set back
			b.minute, b.first = minute, min(b.first, now)
			b.frozen = [metrics]int64{}
			b.dirty = true
		}
		return
	}
	for m := range metrics {
		if b.frozen[m] < b.minute {
			b.seen[m].add(b.peak[m])
		}
		b.peak[m] = 0
	}
	b.minute = minute
	b.derive(cfg)
	b.dirty = true
}

// over notes a value and reports whether it reaches the bound.
func (b *baseline) over(m metric, v uint64) bool { return b.reaches(m, v, b.bound[m]) }

func (b *baseline) reaches(m metric, v, bound uint64) bool {
	if v >= bound {
		if b.frozen[m] <= b.minute {
			b.frozen[m] = b.minute + 1
			b.dirty = true
		}
		return true
	}
	if v > b.peak[m] {
		b.peak[m] = v
		b.dirty = true
	}
	return false
}

// loginBound is the bound of a login metric, in consideration of settling.
func (b *baseline) loginBound(m metric, now int64) uint64 {
	if now-b.first < int64(settling) {
		return 10 * b.bound[m]
	}
	return b.bound[m]
}

// baseline returns that of an interface, at time now.
func (d *Detector) baseline(name string, now int64) *baseline {
	b := d.base
	if b == nil || b.name != name {
		if b = d.bases[name]; b == nil {
			b = d.addBaseline(name, now)
		}
		d.base = b
	}
	b.used = now
	b.turn(&d.cfg, now)
	return b
}

func (d *Detector) addBaseline(name string, now int64) *baseline {
	if len(d.bases) >= maxInterfaces {
		var oldest *baseline
		for _, b := range d.bases {
			if oldest == nil || b.used < oldest.used || b.used == oldest.used && b.name < oldest.name {
				oldest = b
			}
		}
		delete(d.bases, oldest.name)
		d.stats.evicted.Add(1)
		d.drop(oldest.saved, func() string { return prefixBaseline + oldest.name })
	}
	// The name lies in the batch.
	b := &baseline{name: string(append([]byte(nil), name...)), first: now, minute: now / int64(time.Minute), dirty: true}
	b.derive(&d.cfg)
	d.bases[b.name] = b
	return b
}

// perSecond is a rate. An interval below 100 ms is taken for one, so that a
// handful of packets in a very short one is no flood.
func perSecond(n uint64, interval time.Duration) uint64 {
	return uint64(math.Round(float64(n) / max(interval, 100*time.Millisecond).Seconds()))
}
