// Package host is the composition root: it puts configuration, plugins, bus,
// packet filter, responder and control API together and runs them.
//
// Run is the host in the foreground. Replay, Parse and ValidateRules are the
// same parts put together for a moment, without root and without a running
// host: real plugin processes, in their sandboxes, over files.
package host
