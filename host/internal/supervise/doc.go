// Package supervise keeps one plugin running: it starts its process, hands it
// over to be served, watches its health, restarts it when it dies, and gives up
// when starting it again and again gets nothing done.
//
// The first restart after work was done is immediate; then the pauses double,
// with jitter, up to half a minute, until a process has lived for long enough.
// The circuit opens after maxBarren starts in a row that got nothing done;
// Reload closes it. A plugin that does not answer
// its health check is killed: it cannot be told apart from one that is stopped.
package supervise
