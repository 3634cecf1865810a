// Package supervise keeps one plugin running: it starts its process, hands it
// over to be served, watches its health and its acknowledgements, restarts it
// when it dies, replaces it without a loss, and gives up when starting it again
// and again gets nothing done.
//
// A process that got something done is followed by another at once, however
// often it dies. So is the first that did not; then the pauses grow, with
// jitter. The circuit opens after maxBarren starts in a row that got nothing
// done, and stays open over a restart of the host until Reload closes it.
//
// A plugin that does not answer its health check is killed: it cannot be told
// apart from one that is stopped. So is one that answers and does not
// acknowledge what it was sent.
//
// Reload starts the next process before the one that runs drains: at no time is
// there none. What the old one did not acknowledge, the new one gets.
package supervise
