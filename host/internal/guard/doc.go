// Package guard carries out what enforcers propose to do themselves, to targets
// that the host cannot reach: containers.
//
// # Use
//
//	g, err := guard.New(guard.Config{Journal: journal, Store: store, Enforcer: connect, ...})
//	err = g.Decide(ctx, name, intent)  // from the pipeline
//	err = g.Run(ctx)                   // carries out, inspects, releases
//
// # An intent's life
//
//	planned -> approved -> executing -> applied | partial -> releasing -> released | expired
//	   |          |            |             ^
//	   v          v            v             |
//	refused     failed       failed      unknown: what became of a call is not known
//
// Every change of state is on the disk before the call that it announces is made,
// and what came of the call before the next. A host that is killed anywhere finds
// the intent in the state that it had, and goes on: what was executing is unknown
// and is inspected; what was releasing is released. The state that Release restores
// (what Prepare returned) is stored before Execute is called. The calls are
// idempotent by contract, so that the worst that a kill does is that one is made
// twice.
//
// Intents about one target are carried out one at a time, in the order in which
// they were proposed; evidence comes before what it is about is cut off. While the end
// of evidence is being told and kept, what comes after it is prepared already, which
// changes nothing, and is announced after that.
//
// # Checks
//
// Decide refuses an intent with a stable code (the Code constants) and a sentence:
// the verb is known; the alert is known and names the target, or the entity that led
// to it; a stream that anybody may write to speaks about its own container alone; the
// target is not the host's own and not protected; it has a time to live; its policy has not
// just done the same; and the limits: intents a minute (a breaker), effects
// at once, as a share of what runs, and of what is alike. They are the same in
// simulate and enforce. A policy may hold a mode that does less than the host's.
//
// What is in effect already is no refusal: it is told with the intent that covers it,
// whose end is not put off. A wider intent of the same verb is carried out over a
// narrower one; what each restores is what it found, so that the later one ends first
// and the end of the other waits for it.
//
// While an operator has the guard disabled, which outlives the host, everything is
// refused and nothing begins.
//
// An intent that needs approval waits for it, and is refused when nobody gives it
// in time. Two approvals are of two users.
//
// # In effect
//
// What is in effect is inspected at an interval, and when the enforcer says that
// something happened to its target. What was done in part is completed, tried so often;
// then it stays in part. What somebody undid is done again, so often and
// no more; then the intent fails, an alert says so, and what is left of the effect is
// released.
//
// Every effect ends by its stamp (package expiry), by an operator, or when the mode
// is not enforce any more. A release that fails is tried again until it succeeds or
// the target is gone.
//
// # Concurrency
//
// All methods may be called from any goroutine, Run from one.
package guard
