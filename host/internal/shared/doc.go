// Package shared counts for plugins: sliding windows, counters and claims, together with other
// hosts when there is an engine that all of them reach, and alone otherwise. A plugin asks
// Front and does not know which it was.
//
// Local is the embedded engine. It holds what each plugin counts in memory, within Limits of
// that plugin's own, and a Front commits it with checkpoints and the state of plugins:
// what a plugin called durable is on disk with what it had counted by then.
//
// # Which of them decides
//
// A Front is up, alone or away. Alone, without an engine, Local decides and that is
// all. Up, the engine is asked for the operations of each call, and Local learns what
// it said. When it has not answered within the timeout, or with an error, the Front is
// away: Local decides that call and those after it at once, and what it decided is noted
// as a difference. Run tries the engine 250 ms later, and less often up to every 2 s while
// that is in vain. It applies the differences in their order, and only when none is left the
// Front is up again. So the engine never hears a new operation before an older one of this
// host, and while it is away or slow each attempt costs one call one timeout.
//
// An operation that was asked for may have been carried out though no answer came. Windows
// and claims are idempotent by the ids of their events and owners: they are applied
// again. A counter is not: one whose call failed is left out (Unsure), rather than
// counted twice.
//
// # Windows: what is promised
//
// Every event counts in one window at the most. Events that complete a window raise one
// alert, wherever they were seen, once the hosts that saw them can reach the engine, if
// that is while the engine still remembers the others (twice the span, at least ten
// minutes) and no newer event of the same key has pushed them out of the span.
// What follows is why.
//
// The host raises the alert that the plugin pledged with the event that completed the
// window: before Apply answers, or when a difference turns out to have done so. The alert
// is in the journal before the difference is forgotten. Its id follows from the event,
// and an engine says Done again for an event that completed a window, so whatever fails
// between the engine's answer and the journal only makes the same alert again.
//
// An answer that nobody heard: the event is a difference, it is applied again, the engine
// says Done again, and the alert is raised.
//
// A window that Local completes while the host is away raises its alert at once. Its events
// must not count again when the differences are applied. An event that the engine never
// heard of is left out of the differences. One that it has, or may have, becomes a
// difference that says it was counted (WindowAdd.counted): the engine removes it and
// remembers it as it remembers those of its own windows. Leaving those out as well would
// let them count with other hosts' events; applying them as they are would complete a
// window in the engine with them, and the events of other hosts that lie in it would be
// lost to the next one. A window that Local has completed never raises an alert in the
// merge, also when an engine does not know counted and takes them for new.
//
// Two alerts come of events only when both sides completed a window before they could hear
// of each other: the engine with other hosts' events and those that this host had told it
// before it was cut off, and Local with those same and later ones. Each had seen a whole
// attack, and neither may wait for the other. Where they had no event in common there
// were twice as many events, and two alerts are right.
//
// So that Local does not complete windows with events that another host's alert has counted,
// it follows the engine: on Done it forgets the key's events that the engine has, and when
// the engine counts fewer than Local has told it, it forgets the oldest of them.
//
// An engine that was killed may have lost what it said it has. When it comes back from
// anything but slowness, the events of the last seconds are told again, and all within
// their span when it has lost its memory (Lost): to hear one twice changes nothing. Whoever has lost its
// memory has also lost what was counted: an event that completed a window through another
// host may count again then.
//
// A window that is quiet for a time after its last alert is so by what whoever decides knows:
// the engine does not hear of an alert that a host raised alone, and may raise one of other
// hosts' events sooner after it.
//
// A pledged alert may have a limit. What is due is counted with a counter before it is raised,
// and an event whose alert was held back is remembered as that, so that coming again it
// neither counts nor is raised. While the engine is away the host holds back by what
// it knows: hosts that are cut off may raise more together than the limit, and what they
// raised counts once they are back. After a crash, what was not committed may count twice.
//
// What lies outside the promise is counted: differences beyond the bounds of a plugin
// (Dropped, the oldest first), those that came too late to matter (Expired), and keys that
// made room for others (Evicted).
//
// # Counters and claims
//
// A difference of a counter is applied while its span lasts. One of a claim is applied for what is left of
// it; where two hosts took the same claim apart, both had it, and the engine's is the one
// that stays.
//
// # Concurrency
//
// Everything may be called concurrently. Calls of one plugin that are under way at the same
// time are carried out in any order.
package shared
