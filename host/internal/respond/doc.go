// Package respond decides what really happens when an enforcer proposes an
// answer or an operator orders one.
//
// # Use
//
//	history := &respond.History{}
//	journal, err := state.OpenJournal(dir, keep, history.Seed)
//	r, err := respond.New(respond.Config{Journal: journal, History: history, Store: store, ...})
//	r.Attach(filter)            // as interfaces come
//	err = r.Run(ctx)            // expiries, falling back, looking at the system again
//	r.Remember(alert)           // before the alert is appended to the journal
//	err = r.Decide(ctx, name, intent)
//
// Blocks, Allows and the Responder itself are the parts of the control API that
// concern blocking.
//
// # Decisions
//
// Decide refuses an intent with a stable code (the Code constants, or the name of
// a rail) in the detail "code" of the action event, and a sentence for people in
// its reason. The checks, in this order: the verb is known; the alert is known;
// the target is the one source address that the alert names, and a host can be
// reached by it; the evidence cannot be forged, unless the operator opted in;
// the origin of the alert may speak about that address; no rail forbids it; the
// time to live makes sense; and the breaker is closed. They are the same in
// simulate and enforce; in detect nothing is asked and nothing recorded.
//
// An intent is known by its enforcer and id, and decided once, also across
// restarts: History knows what the journal says. In enforce it is planned in
// the journal, and on the disk, before anything is done, and its outcome is on
// the disk before Decide returns. One that was planned in an earlier life and
// has no outcome is decided again when Run begins, for the rest of its time.
//
// # Rails
//
// Never blocked are the allow lists (of the file and of the operator), trusted
// proxies, the host's own addresses, and what package rail finds. All but the
// host's own addresses are also on the allow list of every filter, which
// wins there: an operator may block a network that contains a gateway, and the
// gateway passes.
//
// # Lists
//
// An import makes a list: many networks, which share what is said about them.
// Its networks are a file (state.Blobs) that a document in the state database
// names; the transaction that stores the document is the moment from which the
// import counts. Filters are told before it, and put back when it fails, so that
// an import is in force and on the disk, or has changed nothing. Where blocks by
// themselves and lists say something about the same network, a ruling is what
// filters have: the one that keeps most away, of equal ones the one that lasts
// longest.
//
// # Rules
//
// Rules of the packet filters are about some of the traffic, and an operator's
// alone. They are kept as blocks are, expire as blocks do, and are told to a filter
// as a whole, in the order of their priorities and names.
//
// # Time
//
// Everything expires by the earlier of two clocks: the wall, and the time since
// boot while the boot lasts. After a boot no block has more left than it had
// when the host last looked, so neither a jump of the clock nor a restart, nor
// both, makes one longer. It may become shorter: by a clock that jumps ahead,
// and by up to expiry.TickInterval when the machine stops without warning.
//
// # Limits
//
// When more blocks are proposed within a minute than the configuration allows,
// the breaker opens: nothing is blocked by enforcers for breaker.Pause. It says
// so once. Operators are not limited by it.
//
// # Concurrency
//
// All methods may be called from any goroutine, Run from one. Decisions are
// made one at a time, and so are changes of lists. Filters are called with the
// Responder's lock held: they must not call back. However many networks a list
// has, a call is about 32,768 at most and the lock is free between two calls; but
// for a filter that is attached or loaded anew, which gets all at once.
package respond
