// Package engine keeps what hosts count and decide together in a Redis server, version 7
// or later.
//
// An [Engine] is an sdk.SharedState. Windows, counters and decisions are changed by
// functions that the server holds (ironpost.lua), each atomically; what they take in is in
// the names of their library and its functions, so that hosts of several versions work on one
// server. A server that does not know them is given them at the first call that misses them.
//
// # Keys
//
// With the prefix "ironpost", and H for the hash of a key:
//
//	ironpost:{H}:m   members of a window, by time
//	ironpost:{H}:p   events that count no more
//	ironpost:{H}:v   values that were counted, by their newest time
//	ironpost:{H}:q   of a window with a quiet time, when it was last told that it is complete
//	ironpost:{H}:n   a counter
//	ironpost:{H}:c   a claim
//	ironpost:{fleet}:g        generation, and number of the last change
//	ironpost:{fleet}:i        ids of the decisions, by number
//	ironpost:{fleet}:s        changes, a stream
//	ironpost:{fleet}:d:ID     a decision
//	ironpost:{fleet}:t:ID     one that was taken back
//
// Each has a time to live, and the keys of one call have one hash tag.
//
// # Order, concurrency, time
//
// Operations of one call go over one connection, in their order, in one round trip. All
// methods are safe for concurrent use. Nothing is tried twice: an operation whose answer
// did not come may have been carried out. What is left of a decision is reckoned by
// the server's clock alone.
package engine
