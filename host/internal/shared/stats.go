package shared

import "time"

// Counts are operations since the start, by what became of them.
type Counts struct {
	// Operations were asked for: of those that were carried out, the engine decided
	// Together, this host without the engine that there is Local, and one that has no
	// engine Alone. Refused are calls that are not admitted.
	Operations, Together, Local, Alone, Refused uint64
	// Slow and Failed are calls of the engine that took too long, or had an error.
	Slow, Failed uint64
	// Merged were brought together later. Dropped had to make room, Expired mattered no
	// more, Unmergeable the engine does not take, and Unsure are counters of which it is not known
	// whether the engine has them.
	Merged, Dropped, Expired, Unmergeable, Unsure uint64
	// Again were told to the engine once more, since it may have forgotten them.
	Again uint64
	// Alerts were raised for windows, Limited were held back by their limit.
	Alerts, Limited uint64
}

// Status is how things stand.
type Status struct {
	// Engine is the plugin that reaches the engine; "" when there is none, and Expected
	// says that there should be.
	Engine    string
	Expected  bool
	Reachable bool
	// Since is when Reachable changed, and Err what went wrong last.
	Since time.Time
	Err   error
	// Waiting operations are to be brought together with those of other hosts.
	Waiting int
	Usage   Usage
	Counts  Counts
}

// Status tells how things stand.
func (f *Front) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{
		Engine: f.name, Expected: f.expected, Reachable: f.up, Since: f.since, Err: f.err, Usage: f.local.Usage(), Counts: f.counts,
	}
	for _, b := range f.backlogs {
		s.Waiting += b.count
	}
	return s
}
