// Package engine runs detection rules over events.
//
// # Matching
//
// Compile turns rules of both languages into a Set: their conditions, in the names
// that package mapping gives to fields, become one matcher (package sigma/match),
// whose cost for an event hardly depends on the number of rules. An event that
// matches nothing allocates nothing.
//
// Which rules look at an event is a matter of log sources. Every event belongs to
// those of its kind, which rules in the simple form are for (product ironpost,
// service log, packet or alert); a log event also to those that the mappings give to
// its stream, its program and its fields.
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
// Correlations are windows of the same kind over what other rules found: an event
// that a rule matched, or a window of another that is complete, which counts at the
// time of its last event. A correlation is decided on each arrival, for the windows
// that have what arrived and end with something that is there, the one that ends
// first before the others; the first whose condition holds raises the alert and
// empties the group. So a condition that few events fulfil ("lt: 3") holds at once.
// A field of group-by is taken from the event, by its alias and its mapping; of
// another correlation's window, from the group of that and then from the event that
// completed it. A rule that correlations name raises alerts of its own only if one
// of them says generate. The percentile is that of the nearest rank.
//
// Who speaks keeps groups apart: the host's own logs, together with what it saw
// itself, the packets; each container by its own; and the senders of the network. So a line that a
// container prints is never in a window with lines of the host: it completes none of
// theirs, takes nothing from what they prove, and suppresses no alert. It holds for
// thresholds, correlations, suppression and, between the host and all others, rate
// limits and the bounds below.
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
// that was touched longest ago goes first, from the rule that holds the most, of
// the host's or of all others' groups whichever are more, and is counted. A group keeps as many entries as can matter for four streams
// whose clocks differ; beyond that the oldest go, and are counted (Stats.Lost). Of
// the same value, or rule, over and over a group keeps the last, so that a flood of
// one does not push out the others; a sum or an average merges its oldest numbers.
//
// # Duplicates and rates
//
// A line of the host that comes by two sources, as from the journal and from the
// file that a syslog daemon writes, counts once for a rule: the second one of the
// same process, number and message is passed over and counted (Stats.Twice), if their
// times are less than two seconds apart. Across a death it may count twice.
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
