// Package engine runs detection rules over events.
//
// # Matching
//
// Compile turns rules into a Set. Equal comparisons of all rules become one
// atom. Every rule is filed under a witness: literals of which one must be in
// the event if the rule holds. An event is looked up once per field (a table of
// whole values, a filter over pieces of four bytes for what is inside), and only
// the rules whose witness was found are evaluated, each atom at most once. Values
// are read as they are; only those with characters beyond ASCII have to be folded
// to be looked up. So the cost of an event that matches nothing hardly depends on
// the number of rules, and it allocates nothing.
//
// # Windows
//
// Windows are in event time and slide: a rule with a threshold fires when an
// event arrives that makes Count events of its group lie within less than
// Timeframe, that is, in some interval (t - Timeframe, t]. The alert is raised
// on that arrival, never after a wait, and empties the group; an event counts
// once. An event that lacks a field of group_by, or has it empty, does not
// count.
//
// Lateness is per stream: an event up to Lateness behind the newest of its
// stream counts at its own time. An older one still matches rules without
// threshold, stays out of windows, and is counted in Stats.Late. A time that
// was taken from the time of observation (no stamp, a stamp in the future)
// does not make a stream newer, so that one such line cannot make the others
// late.
//
// # Bounds
//
// Groups are bounded in number, per rule and in all, and in bytes; the group
// that was touched longest ago goes first, from the rule that holds the most,
// and is counted. A group keeps as many stamps as can matter for four streams
// whose clocks differ; beyond that the oldest go.
//
// # Duplicates and rates
//
// A threshold empties its group, so a lasting attack alerts once for each
// Count events. A rule may ask to suppress further alerts of a group for a
// time; without asking, none is suppressed. Every rule has a rate limit,
// DefaultRateLimit if it does not say. What either holds back is counted, and
// the next alert says how many it stands for.
//
// # Memory across deaths
//
// Save hands out what changed since the last Save, Restore takes it back; the
// events that an alert will cite are part of it. State belongs to a rule's id
// and content hash: an edited detection starts afresh, an edited title does
// not.
//
// # Concurrency and ownership
//
// An Engine has no locks: one goroutine at a time. A Set is immutable. Events
// may alias a buffer, the engine clones what it keeps; alerts share nothing
// with the events but their Stream.
package engine
