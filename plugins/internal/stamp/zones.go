package stamp

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxZones bounds how many zones Zones remembers; there are about 600.
const maxZones = 1024

// Zones finds time zones by name and remembers them, because loading one reads
// a file. The zero value is ready; it is safe for concurrent use.
type Zones struct {
	last  atomic.Pointer[zone]
	mu    sync.Mutex
	known map[string]*zone
}

type zone struct {
	name     string
	location *time.Location
}

// Location returns the zone of an IANA name; the zone of the host for "", UTC
// for a name that is not known.
func (z *Zones) Location(name string) *time.Location {
	if name == "" {
		return time.Local
	}
	if last := z.last.Load(); last != nil && last.name == name {
		return last.location
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
		found = &zone{name, location}
		if z.known == nil {
			z.known = make(map[string]*zone)
		}
		if len(z.known) < maxZones {
			z.known[name] = found
		}
	}
	z.last.Store(found)
	return found.location
}
