package stamp

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// maxZones bounds how many zones Zones remembers; there are about 600.
const maxZones = 1024

// Zones finds time zones by name and remembers them, because loading one reads
// a file. The zero value is ready; it is safe for concurrent use.
type Zones struct {
	last  atomic.Pointer[zone]
	local zone // of the host; its location is found anew each time
	mu    sync.Mutex
	known map[string]*zone
}

type zone struct {
	name     string
	location *time.Location
	span     atomic.Pointer[span] // the last that was used
}

// Location returns the zone of an IANA name; the zone of the host for "", UTC
// for a name that is not known.
func (z *Zones) Location(name string) *time.Location {
	if name == "" {
		return time.Local
	}
	return z.find(name).location
}

// Reference returns the reference of a record: when it was observed, and the zone of
// its stream, UTC for a record that has none.
func (z *Zones) Reference(raw event.RawLog) Reference {
	name := "UTC"
	if raw.Stream != nil {
		name = raw.Stream.TimeZone
	}
	ref := Reference{Observed: raw.ObservedTime}
	z.Locate(&ref, name)
	return ref
}

// Locate sets the zone of a reference whose time of observation is set to the
// zone of a name, as Location finds it. Stamps are completed faster with it than
// with a Location that was set by hand.
func (z *Zones) Locate(ref *Reference, name string) {
	found := &z.local
	ref.Location = time.Local
	if name != "" {
		found = z.find(name)
		ref.Location = found.location
	}
	latest := ref.Observed.Unix() + int64(Ahead/time.Second)
	if s := found.span.Load(); s != nil && s.location == ref.Location && s.holds(latest) {
		ref.span = s
		return
	}
	// A span may not hold for its own time: time.ZoneBounds leaves 31 December
	// of some leap years out.
	ref.span = nil
	if s := spanAt(ref.Location, ref.Observed.Add(Ahead)); s.holds(latest) {
		kept := s
		found.span.Store(&kept)
		ref.span = &kept
	}
}

// find returns the zone of a name.
func (z *Zones) find(name string) *zone {
	if last := z.last.Load(); last != nil && last.name == name {
		return last
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	found := z.known[name]
	if found == nil {
		name = strings.Clone(name)
		location, err := time.LoadLocation(name)
		if err != nil {
			location = time.UTC
		}
		found = &zone{name: name, location: location}
		if z.known == nil {
			z.known = make(map[string]*zone)
		}
		if len(z.known) < maxZones {
			z.known[name] = found
		}
	}
	z.last.Store(found)
	return found
}
