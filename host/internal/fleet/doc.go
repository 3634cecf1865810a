// Package fleet has several hosts follow each other's decisions about networks, through a
// state engine that all of them reach.
//
// # What travels
//
// A host tells its own decisions: blocks, limits and allowed addresses, of enforcers and
// of operators; not what it imported as a list, which every host can import, and not what
// it took over from others. Each has an id for good, and carries what is left of it rather than
// an end, so that no host's clock matters. Who takes it over gives it that much time
// and never more; the rails of its own hold for it.
//
// # Order
//
// Follow begins with everything in force and says when that was all. Only then does a host
// end what others no longer have, tell of its own what they do not know, and take back
// what of its own they still have and it has not. After that both sides tell changes as
// they come. When anything fails all of it begins anew, so that nothing has to be kept
// of what was missed. An id that was taken back stays so in the engine for as long as the
// decision could have lasted, and on the host that took it back.
//
// An engine that lost its memory has another generation. What is missing there was not
// taken back: nothing ends, and each host tells its own anew.
//
// # While the engine is away
//
// Everything goes on: what was taken over ends when it would have ended, and what is decided
// meanwhile is told afterwards, for what is left of it.
//
// # Concurrency
//
// Everything may be called from any goroutine; of several Runs one works and the others
// wait.
package fleet
